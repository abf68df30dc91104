/** Options and endings that both training commands have. */
import { existsSync } from "node:fs";
import { z } from "zod";

import type { Reporter } from "../shared/train/reporter.ts";
import { lastCheckpoint, type RunEnd, type RunOptions } from "../shared/train/run.ts";
import { runDirectory } from "./artifacts.ts";
import type { CommandContext } from "./command.ts";
import { createEngine, type EngineChoice } from "./engines.ts";
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

interface TrainingWords {
  readonly seed: number;
  readonly minutes?: number | undefined;
  readonly checkpointEvery: number;
  readonly resume: boolean;
}

/** The words of a training command as a run takes them; the run's folder lies beside the artefact to be. */
export async function runOptions(
  options: TrainingWords & EngineChoice,
  { reporter, signal }: Pick<CommandContext, "reporter" | "signal">,
  artifact: string,
) {
  const directory = runDirectory(artifact);
  const path = lastCheckpoint(directory);
  if (options.resume && !existsSync(path))
    reporter.note(`There is no checkpoint at ${path}: starting from the beginning.`);
  if (!options.resume && existsSync(path))
    reporter.warn(`starting over; the checkpoint at ${path} will be replaced (--resume would continue it)`);
  return {
    engine: await createEngine(options),
    seed: options.seed,
    reporter,
    signal,
    folder: { directory, every: options.checkpointEvery, resume: options.resume },
    ...(options.minutes === undefined ? {} : { seconds: options.minutes * 60 }),
  } satisfies RunOptions;
}

/** Only what was given on the command line: the rest is the preset's. */
export function given<T extends object>(overrides: T): Partial<T> {
  return Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** Lets a finished run pass. @throws the signal's reason (exit 130 or 143) after an interruption, having said how to go on. */
export function checkFinished<Run extends RunEnd<boolean>>(
  run: Run,
  end: { signal: AbortSignal; reporter: Reporter; folder?: { directory: string } },
): asserts run is Extract<Run, RunEnd<false>> {
  if (!run.interrupted) return;
  const { signal, reporter, folder } = end;
  if (folder !== undefined) {
    reporter.note(`Stopped after step ${run.step}; the same command with --resume goes on from ${folder.directory}.`);
  }
  signal.throwIfAborted();
  throw new Error("A run was interrupted, but not by its signal.");
}
