/** `tessera guidance-curve`: shares by arithmetic, with priors that repeat training images; the command over a tiny network; what it refuses. */
import { existsSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { guidanceCurve, type GuidanceCurve } from "../../pipelines/guidance-curve.ts";
import { openTokens } from "../../shared/token-file/index.ts";
import type { TokenGrid } from "../../shared/tokens.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { loadTokenizer } from "../../stage1-tokenizer/index.ts";
import { publishPrior } from "../../stage2-prior/export.ts";
import type { Prior, SampleRequest } from "../../stage2-prior/index.ts";
import { drawFolder, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";
import { untrained } from "../stage2-prior/tiny-artifact.ts";
import { tinyPrior } from "../stage2-prior/tiny-config.ts";

const temporary = useTemporaryDirectory();
const CLASSES = ["east", "west"];
const [K, L] = [8, 16];
let [tokenizer, training, conditional] = ["", "", ""];

async function publishTiny(classes: readonly string[], name: string): Promise<string> {
  const directory = temporary(name);
  const { fingerprint } = (await openTokens(training)).header;
  const config = tinyPrior({ codebookSize: K, layers: 1, classes: classes.length, objective: "masked" });
  await publishPrior({ ...untrained(config), fingerprint, classes }, { directory });
  return directory;
}

beforeAll(async () => {
  const images = await drawFolder(temporary("images"), CLASSES, 6);
  tokenizer = await publishUntrained(tinyConfig({}), temporary("tokenizer"));
  training = temporary("training");
  const words = ["tokenize", "--tokenizer", tokenizer, "--source", images, "--out", training, "--threads", 1];
  expect(await tessera(...words)).toMatchObject({ code: 0 });
  conditional = await publishTiny(CLASSES, "conditional");
});

describe("a prior that repeats training images", () => {
  /** Of the class asked for above scale 1, else of the other one; by tokens, an image is nearest to itself. */
  async function curve(scales: readonly number[], count: number): Promise<GuidanceCurve & { asked: SampleRequest[] }> {
    const set = await openTokens(training);
    const { grid, labels } = await set.load();
    const distinct = [...labels.keys()].filter((i) => isAlone(grid, i));
    const asked: SampleRequest[] = [];
    const sample = (request: SampleRequest): Promise<TokenGrid> => {
      asked.push(request);
      const label = CLASSES.indexOf(request.className ?? "");
      const wanted = (request.guidance?.scale ?? NaN) > 1 ? label : 1 - label;
      const own = distinct.filter((i) => labels[i] === wanted);
      const tokens = Array.from({ length: request.count }, (_, i) => [...rowOf(grid, own[i % own.length] ?? 0)]);
      return Promise.resolve({ tokens: Int32Array.from(tokens.flat()), shape: [request.count, 4, 4] });
    };
    const spec = {
      ...{ objective: "masked", codebookSize: K, grid: [4, 4], classes: CLASSES, maskSchedule: "cosine" },
      fingerprint: set.header.fingerprint,
    } as const;
    const prior = { directory: "somewhere", name: "parrot", spec, sample } as unknown as Prior;
    const result = await guidanceCurve({
      ...{ prior, training: set, heldOut: set, scales, count, seed: 0, schedule: "linear" },
      ...{ directory: temporary("parrot"), decoding: { topK: 3 } },
      tokenizer: await loadTokenizer(tokenizer, { threads: 1 }),
      ...{ reporter: silentReporter, signal: new AbortController().signal },
    });
    return { ...result, asked };
  }

  test("has a share of 0 at 1 and below, of 1 above, as it was made to", async () => {
    const { points, chance, sheet, asked } = await curve([0, 1, 2], 7);
    expect(points).toEqual([
      { scale: 0, share: 0, shares: { east: 0, west: 0 } },
      { scale: 1, share: 0, shares: { east: 0, west: 0 } },
      { scale: 2, share: 1, shares: { east: 1, west: 1 } },
    ]);
    expect(chance).toBe(0.5);
    expect(existsSync(sheet)).toBe(true);
    expect(asked.map(({ count, className }) => [count, className])).toEqual([0, 1, 2].flatMap(() => [[4, "east"], [3, "west"]])); // prettier-ignore
    for (const request of asked) {
      expect(request).toMatchObject({ topK: 3, guidance: { schedule: "linear" } });
      const same = asked.filter(({ className }) => className === request.className);
      expect(same.every(({ rng }) => rng.fork("x").uniform() === request.rng.fork("x").uniform())).toBe(true);
    }
  });

  test("real images get the share of those that are alone or among their own", async () => {
    const { heldOut } = await curve([2], 2);
    const { grid, labels } = await (await openTokens(training)).load();
    const first = [...labels.keys()].map((i) => [...labels.keys()].find((j) => same(grid, i, j)) ?? i);
    expect(heldOut).toBeCloseTo(first.filter((j, i) => labels[i] === labels[j]).length / labels.length, 12);
  });
});

const rowOf = ({ tokens }: TokenGrid, i: number): Int32Array => tokens.subarray(i * L, (i + 1) * L);
const same = (grid: TokenGrid, i: number, j: number): boolean => rowOf(grid, i).join() === rowOf(grid, j).join();
const isAlone = (grid: TokenGrid, i: number): boolean =>
  Array.from({ length: grid.shape[0] }, (_, j) => j).every((j) => j === i || !same(grid, i, j));

const curveOf = (prior: string, ...words: readonly (string | number)[]): Promise<Outcome> =>
  tessera("guidance-curve", "--tokenizer", tokenizer, "--prior", prior, "--tokens", training, "--threads", 1, "--count", 6, "--out", temporary("out"), ...words); // prettier-ignore

describe("the command", () => {
  test("prints a row a scale, the same from the same seed", async () => {
    const { code, stdout, stderr } = await curveOf(conditional, "--scales", "1, 4", "--held-out", training);
    expect(code, stderr).toBe(0);
    for (const part of ["of the class asked for", "east", "west", "By chance", "50.0 %", "real held-out images"]) {
      expect(stdout).toContain(part);
    }
    const jsons = [3, 3, 4].map((seed) => curveOf(conditional, "--scales", "2", "--seed", seed, "--json"));
    const [first, second] = (await Promise.all(jsons)).map(({ json }) => json?.["points"]);
    expect(first).toEqual(second);
    const [point] = first as { share: number; shares: Record<string, number> }[];
    expect(point?.share).toBeCloseTo(((point?.shares["east"] ?? NaN) + (point?.shares["west"] ?? NaN)) / 2, 12);
  });

  test("refuses what has no classes, other classes, and lists that are none", async () => {
    const [without, other] = [await publishTiny([], "without"), await publishTiny(["west", "east"], "other")];
    expect(await curveOf(without)).toMatchObject({ code: 2 });
    expect(await curveOf(other)).toMatchObject({ code: 4 });
    expect(await curveOf(conditional, "--scales", "1,two")).toMatchObject({ code: 2 });
    expect(await curveOf(conditional, "--scales", "-1")).toMatchObject({ code: 2 });
    expect(await curveOf(conditional, "--count", 1)).toMatchObject({ code: 2 });
  });
});
