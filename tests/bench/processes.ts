/** What shows in a process of its own only: the start of the command line, the largest resident memory, the first trace. */
import { execFile } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";
import { median } from "../../stage2-prior/index.ts";
import { COMPARISONS } from "./comparisons.ts";
import type { Row } from "./row.ts";
import type { StepName } from "./steps.ts";
import { seconds } from "./timing.ts";
import { THREADS, type Bench, type Comparison, type Report } from "./work.ts";

/** Sources and build have the same layout and another ending. */
const scriptAt = (path: string): string =>
  fileURLToPath(new URL(`${path}${extname(import.meta.url)}`, import.meta.url));

async function runScript(path: string, words: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [scriptAt(path), ...words]);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}

const peakAnswer = z.strictObject({ peakMegabytes: z.number() });

/** The peer's in one process; ours in as many as the work takes, all of them counted. */
const peakMemory = COMPARISONS.map((work): Comparison => {
  return {
    name: `peak-memory-${work.name}`,
    unit: "MB",
    repeats: { warmUp: 0, timed: Math.min(3, work.repeats.timed) },
    ours: async ({ artifacts }, { timed }) =>
      peakAnswer.parse(await runScript("./work-process", [work.name, artifacts.folder, String(timed)])).peakMegabytes,
    ...(work.prepare && { prepare: work.prepare }),
    ...(work.peer && { peer: work.peer }),
  };
});

const compileAnswer = z.strictObject({ compileSeconds: z.number() });

const COMPILED: readonly StepName[] = ["vqvae-128", "causal-5m"];

/** Each time in a fresh process: in a warm one the second trace runs optimised. */
const compile: Report = {
  name: "compile",
  async rows({ repeats }) {
    const rows: Row[] = [];
    for (const name of COMPILED) {
      const times: number[] = [];
      for (let i = 0; i < repeats({ warmUp: 0, timed: 3 }).timed; i++)
        times.push(compileAnswer.parse(await runScript("./compile-process", [name])).compileSeconds);
      rows.push({ work: `compile ${name}`, unit: "ms", ours: 1000 * median(Float64Array.from(times)) });
    }
    return rows;
  },
};

const generated = z.looseObject({ secondsPerImage: z.number() });

/** `tessera generate` for one image, 12 masked steps, from the start of the process to its end. */
async function generateOnce({ artifacts }: Bench): Promise<{ total: number; sampling: number }> {
  const words = ["generate", "--count", "1", "--steps", "12", "--threads", String(THREADS), "--json", "--quiet"];
  const [tokenizer, prior] = [await artifacts.tokenizer(), await artifacts.prior("masked")];
  const places = ["--tokenizer", tokenizer, "--prior", prior, "--out", artifacts.fresh("generated")];
  let sampling = NaN;
  const total = await seconds(async () => {
    sampling = generated.parse(await runScript("../../pipelines/cli", [...words, ...places])).secondsPerImage;
  });
  return { total, sampling };
}

const startUp: Report = {
  name: "start-up",
  async rows(bench) {
    const totals: number[] = [];
    const without: number[] = [];
    for (let i = 0; i < bench.repeats({ warmUp: 0, timed: 3 }).timed; i++) {
      const { total, sampling } = await generateOnce(bench);
      totals.push(total);
      without.push(total - sampling);
    }
    return [
      { work: "start-up, to the first image", unit: "s", ours: median(Float64Array.from(totals)) },
      { work: "start-up, without sampling", unit: "s", ours: median(Float64Array.from(without)) },
    ];
  },
};

export const PROCESSES = [startUp, ...peakMemory, compile];
