/** Every work by name, in the order they run; which of them names mean; how a comparison becomes a row. */
import { usageError } from "../../shared/errors.ts";
import type { Ceilings } from "./ceiling.ts";
import { COMPARISONS } from "./comparisons.ts";
import { GROWTH } from "./growth.ts";
import { POSITIONS_REPORT } from "./inference.ts";
import { MEMORY } from "./memory.ts";
import { runPeer } from "./peer.ts";
import { PROCESSES } from "./processes.ts";
import type { Row } from "./row.ts";
import type { Bench, Comparison, Work } from "./work.ts";

const USUAL: readonly Work[] = [...COMPARISONS, POSITIONS_REPORT, ...PROCESSES];
/** Only when named: they take long. */
const ON_REQUEST: readonly Work[] = [...GROWTH, MEMORY];
export const WORKS: readonly Work[] = [...USUAL, ...ON_REQUEST];

/**
 * The works of these names; a name also stands for all that begin with it and a hyphen (`vqvae`: `vqvae-64`, `vqvae-128`, …). None: the usual ones.
 * @throws usage for a name that means nothing
 */
export function selectWorks(names: readonly string[]): readonly Work[] {
  if (names.length === 0) return USUAL;
  const means = (name: string, work: Work): boolean => work.name === name || work.name.startsWith(`${name}-`);
  const unknown = names.filter((name) => !WORKS.some((work) => means(name, work)));
  if (unknown.length === 0) return WORKS.filter((work) => names.some((name) => means(name, work)));
  throw usageError({
    what: `unknown work ${unknown.join(", ")}`,
    expected: `${WORKS.map(({ name }) => name).join(", ")}, cifar or mnist`,
  });
}

export const measure = (work: Work, bench: Bench, ceilings: Ceilings): Promise<Row[]> =>
  "rows" in work ? work.rows(bench) : compare(work, bench, ceilings).then((row) => [row]);

/** Ours, the peer, ours again: a machine that drifts shows in the two figures of ours. */
async function compare(work: Comparison, bench: Bench, ceilings: Ceilings): Promise<Row> {
  const repeats = bench.repeats(work.repeats);
  await work.prepare?.(bench.artifacts);
  const runs = [await work.ours(bench, repeats)];
  const call = typeof work.peer === "function" ? await work.peer(bench) : work.peer;
  const { warmUp: warmup, timed } = repeats;
  const answer = call && (await runPeer({ work: call.work, args: { ...call.args, warmup, runs: timed } }));
  runs.push(await work.ours(bench, repeats));
  const peer = answer === undefined || "missing" in answer ? undefined : answer;
  const row = toRow(work, runs, peer && (work.unit === "MB" ? peer.peakMegabytes : peer.seconds), ceilings);
  return answer !== undefined && "missing" in answer ? { ...row, note: `the peer has no ${answer.missing}` } : row;
}

const SCALE = { s: 1, ms: 1000, MB: 1 } as const;

/** @param runs and `peer` in seconds or megabytes */
export function toRow(
  work: Pick<Comparison, "name" | "unit" | "flops" | "ceiling">,
  runs: readonly number[],
  peer: number | undefined,
  ceilings: Ceilings,
): Row {
  const { name, unit, flops, ceiling } = work;
  const mean = runs.reduce((sum, value) => sum + value, 0) / runs.length;
  const scale = SCALE[unit];
  return {
    work: name,
    unit,
    ours: scale * mean,
    runs: runs.map((value) => scale * value),
    ...(peer !== undefined && { peer: scale * peer, ratio: peer / mean }),
    ...(flops !== undefined && ceiling !== undefined && { ceilingShare: flops / mean / (1e9 * ceilings[ceiling]) }),
  };
}
