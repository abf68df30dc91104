/** What tests of whole training runs share: stopping one, and what it left. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { silentReporter } from "../../shared/train/reporter.ts";
import type { TokenizerRun, TrainTokenizerOptions } from "../../stage1-tokenizer/train.ts";

/** Aborts after `steps` finished steps: the reporter is told of each. */
export function stopAfter(steps: number): Pick<TrainTokenizerOptions, "signal" | "reporter"> {
  const controller = new AbortController();
  const progress = (done: number): void => {
    if (done >= steps) controller.abort();
  };
  return { signal: controller.signal, reporter: { ...silentReporter, progress } };
}

export type Finished = Extract<TokenizerRun, { interrupted: false }>;

export async function finished(run: TokenizerRun | Promise<TokenizerRun>): Promise<Finished> {
  const ended = await run;
  if (ended.interrupted) throw new Error("The run should have finished.");
  return ended;
}

export const filesOf = (directory: string): Record<string, Buffer> =>
  Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]));
