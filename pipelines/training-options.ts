/** Options and endings that both training commands have. */
import { z } from "zod";

import type { Reporter } from "../shared/train/reporter.ts";
import type { RunEnd } from "../shared/train/run.ts";
import { option } from "./options.ts";

export const trainingTime = {
  steps: option(z.int().min(1).optional(), { describe: "Number of steps (default: the preset's)" }),
  minutes: option(z.number().positive().optional(), {
    describe: "Train for about this long instead of a number of steps",
  }),
};

export const resumeOptions = {
  resume: option(z.boolean().default(false), { describe: "Continue the interrupted run of the same options" }),
  checkpointEvery: option(z.int().min(1).default(500), { describe: "Steps between checkpoints" }),
};

/** Lets a finished run pass. @throws the signal's reason (exit 130 or 143) after an interruption, having said how to go on. */
export function checkFinished<Run extends RunEnd<boolean>>(
  run: Run,
  end: { signal: AbortSignal; reporter: Reporter; checkpoint?: string },
): asserts run is Extract<Run, RunEnd<false>> {
  if (!run.interrupted) return;
  const { signal, reporter, checkpoint } = end;
  if (checkpoint !== undefined) {
    reporter.note(`Stopped after step ${run.step}; the same command with --resume goes on from ${checkpoint}.`);
  }
  signal.throwIfAborted();
  throw new Error("A run was interrupted, but not by its signal.");
}
