/**
 * `npm run bench [-- works…] [--json]`: measures and reports, asserts nothing. `cifar` and `mnist` take `--data DIR` and `--steps N`. A comparison runs both sides in one go on the same threads and
 * prints their ratio; absolute times on shared machines are noise. See README.md beside this file.
 */
import { parseArgs } from "node:util";
import { TesseraError, usageError } from "../../shared/errors.ts";
import { describePeer, runPeer } from "./peer.ts";
import { memoryOfTokenizing } from "./memory.ts";
import { PUBLISHED, runPublished } from "./published.ts";
import type { Row } from "./row.ts";
import { causalStep, tokenizerStep } from "./steps.ts";

const WORKS: Readonly<Record<string, () => Promise<Row>>> = {
  vqvae: () => besidePeer("vqvae-train", "vqvae", tokenizerStep, "ms"),
  causal: () => besidePeer("causal-train", "gpt", causalStep, "ms"),
  memory: memoryOfTokenizing,
};

/** Ours, the peer, ours again: a machine that drifts shows in the two figures of ours. */
async function besidePeer(work: string, peerWork: string, ours: () => Promise<number>, unit: string): Promise<Row> {
  const first = await ours();
  const peer = await runPeer(peerWork);
  const second = await ours();
  const mean = (first + second) / 2;
  const figures = { [`ours first ${unit}`]: first, [`ours again ${unit}`]: second };
  return peer === undefined
    ? { work, figures }
    : { work, figures: { ...figures, [`peer ${unit}`]: peer.ms }, ratio: peer.ms / mean };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    data: { type: "string" },
    steps: { type: "string" },
    seed: { type: "string", default: "0" },
  },
});
const known = [...Object.keys(WORKS), ...Object.keys(PUBLISHED)];
const unknown = positionals.filter((name) => !known.includes(name));
const published = positionals.filter((name) => name === "cifar" || name === "mnist");

try {
  if (unknown.length > 0) throw usageError({ what: `unknown work ${unknown.join(", ")}`, expected: known.join(", ") });
  if (published.length > 0 && values.data === undefined)
    throw usageError({
      what: "there is no data set to train on",
      where: "--data",
      todo: "Give the folder of its files",
    });
  for (const name of published) {
    const steps = values.steps === undefined ? undefined : Number(values.steps);
    await runPublished(name, { data: values.data ?? "", steps, json: values.json, seed: Number(values.seed) });
  }
  if (published.length === 0 || positionals.length > published.length) await compareWorks();
} catch (error) {
  if (!(error instanceof TesseraError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.exitCode;
}

/** The works that were named, or all of them. */
async function compareWorks(): Promise<void> {
  process.stderr.write(`${await describePeer()}\n`);
  const rows: Row[] = [];
  for (const [name, run] of Object.entries(WORKS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const row = await run();
    rows.push(row);
    const figures = Object.entries(row.figures).map(([figure, value]) => `${figure} ${value.toFixed(1)}`);
    process.stderr.write(
      `${row.work}: ${figures.join(", ")}${row.ratio === undefined ? "" : `, ratio ${row.ratio.toFixed(2)}`}\n`,
    );
  }
  if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
}
