/**
 * `npm run bench [-- works…] [--json]`: measures and reports, asserts nothing. A comparison runs both sides in one go on the same threads and
 * prints their ratio; absolute times on shared machines are noise. See README.md beside this file.
 */
import { describePeer, runPeer } from "./peer.ts";
import { memoryOfTokenizing } from "./memory.ts";
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

const json = process.argv.includes("--json");
const chosen = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const unknown = chosen.filter((name) => WORKS[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`unknown work ${unknown.join(", ")} (expected ${Object.keys(WORKS).join(", ")})\n`);
  process.exitCode = 2;
} else {
  process.stderr.write(`${await describePeer()}\n`);
  const rows: Row[] = [];
  for (const [name, run] of Object.entries(WORKS)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    const row = await run();
    rows.push(row);
    const figures = Object.entries(row.figures).map(([figure, value]) => `${figure} ${value.toFixed(1)}`);
    process.stderr.write(
      `${row.work}: ${figures.join(", ")}${row.ratio === undefined ? "" : `, ratio ${row.ratio.toFixed(2)}`}\n`,
    );
  }
  if (json) process.stdout.write(`${JSON.stringify(rows)}\n`);
}
