/**
 * What the two training runs share: steps for a given time, a state that can be continued, and the folder of a run, which keeps its last
 * and its best checkpoint and its figures. Knows no model.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

import type { Arrays, Engine, Signature, Trainer } from "../engine/engine.ts";
import type { InitialState } from "../nn/state.ts";
import { finiteEntries } from "../records.ts";
import { secondsPerStep } from "./calibrate.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import type { Batch, LoopOptions, Metrics } from "./loop.ts";
import { openMetricsLog } from "./metrics-log.ts";
import type { Reporter } from "./reporter.ts";

/** The folder of a run: `last.safetensors`, `best.safetensors`, `metrics.jsonl`. */
export interface RunFolder {
  readonly directory: string;
  /** Steps between checkpoints. */
  readonly every: number;
  /** Continue from the last checkpoint if there is one. */
  readonly resume: boolean;
}

export const lastCheckpoint = (directory: string): string => join(directory, "last.safetensors");
const bestCheckpoint = (directory: string): string => join(directory, "best.safetensors");

/** What every training run is given beside its configuration and its data. */
export interface RunOptions {
  readonly engine: Engine;
  readonly seed: number;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal;
  /** Train for about this long instead of the configuration's steps; the number of steps is measured first and recorded. */
  readonly seconds?: number;
  readonly folder?: RunFolder;
}

/** How a run ended; tells a finished one from an interrupted one. */
export interface RunEnd<Interrupted extends boolean> {
  /** Finished steps. */
  readonly step: number;
  readonly interrupted: Interrupted;
}

interface TimedRun {
  readonly label: string;
  readonly seconds: number;
  readonly warmupSteps: number;
  readonly folder?: RunFolder | undefined;
  /** A trainer made for measuring; it is spoilt and disposed of. */
  readonly probe: () => Promise<Trainer>;
  readonly batch: (step: number) => Promise<Batch>;
  readonly reporter: Reporter;
}

const runMetadata = z.object({ steps: z.int().min(1) });
const bestMetadata = z.object({ heldOut: z.record(z.string(), z.number()) });

/** Number of steps that fill `seconds`: measured, or what was measured when the run to be resumed began. */
export async function stepsForTime(run: TimedRun): Promise<number> {
  const { label, seconds, warmupSteps, folder, reporter } = run;
  if (folder !== undefined && canResume(folder)) {
    return runMetadata.parse((await loadCheckpoint(lastCheckpoint(folder.directory))).metadata).steps;
  }
  const trainer = await run.probe();
  const perStep = await secondsPerStep(trainer, run.batch);
  await trainer.dispose();
  const steps = Math.max(warmupSteps + 1, Math.round(seconds / perStep));
  reporter.note(`${label}: ${(perStep * 1000).toFixed(0)} ms a step, ${steps} steps in ${seconds.toFixed(0)} s`);
  return steps;
}

const canResume = ({ directory, resume }: RunFolder): boolean => resume && existsSync(lastCheckpoint(directory));

export interface StartingPoint {
  readonly state: InitialState;
  /** Finished steps. */
  readonly step: number;
}

/**
 * The last checkpoint's state if there is one to resume, else a fresh one.
 * @param configFingerprint what a run must agree on to continue another
 * @throws mismatch if the checkpoint is damaged or of another run
 */
export async function startingPoint(run: {
  readonly label: string;
  readonly folder: RunFolder | undefined;
  readonly configFingerprint: string;
  readonly fresh: () => Promise<InitialState>;
  readonly reporter: Reporter;
}): Promise<StartingPoint> {
  const { label, folder, configFingerprint, fresh, reporter } = run;
  if (folder === undefined || !canResume(folder)) return { state: await fresh(), step: 0 };
  const path = lastCheckpoint(folder.directory);
  const { state, spec, step } = await loadCheckpoint(path, { configFingerprint });
  reporter.note(`${label}: resuming ${path} at step ${step}`);
  return { state: { spec, values: state }, step };
}

/** The best state by held-out figures so far. */
export interface BestState {
  /** Finished steps. */
  readonly step: number;
  readonly values: Arrays;
  readonly heldOut: Metrics;
}

export interface KeptRun {
  readonly spec: Signature;
  readonly configFingerprint: string;
  /** Steps in all, and those finished at the start. */
  readonly steps: number;
  readonly firstStep: number;
  readonly evaluation?: {
    /** Steps between evaluations; there is one at the end in any case. */
    readonly every: number;
    readonly run: (state: Arrays, step: number) => Promise<Metrics>;
    /** Lower is better. */
    readonly score: (heldOut: Metrics) => number;
  };
}

/** Steps between lines of `metrics.jsonl`. */
const LOGGED_EVERY = 10;

/**
 * The options by which the loop keeps a run, in its folder if it has one, and the best state it came by (undefined before the first
 * evaluation).
 */
export async function keepRun(
  folder: RunFolder | undefined,
  run: KeptRun,
): Promise<{ options: Pick<LoopOptions, "checkpoint" | "evaluate" | "onStep">; best: () => BestState | undefined }> {
  const { spec, configFingerprint, steps, firstStep, evaluation } = run;
  const log = folder === undefined ? undefined : openMetricsLog(join(folder.directory, "metrics.jsonl"), firstStep);
  let best = folder === undefined || firstStep === 0 ? undefined : await loadBest(folder, run);
  const save = (path: string, step: number, state: Arrays, metadata: object): Promise<void> =>
    saveCheckpoint(path, { step, state, spec, configFingerprint, metadata: { steps, ...metadata } });
  /** Whatever is no number is worst. */
  const scoreOf = (heldOut: Metrics): number => {
    const score = evaluation?.score(heldOut) ?? NaN;
    return Number.isNaN(score) ? Infinity : score;
  };
  const evaluate = async (state: Arrays, step: number): Promise<Metrics> => {
    const heldOut = (await evaluation?.run(state, step)) ?? {};
    log?.heldOut(step, heldOut);
    if (best !== undefined && scoreOf(best.heldOut) <= scoreOf(heldOut)) return heldOut;
    best = { step, values: state, heldOut };
    const figures = { heldOut: finiteEntries(heldOut) };
    if (folder !== undefined) await save(bestCheckpoint(folder.directory), step, state, figures);
    return heldOut;
  };
  return {
    options: {
      ...(evaluation && { evaluate: { every: Math.min(evaluation.every, Math.max(1, steps)), run: evaluate } }),
      ...(log && {
        onStep: (step: number, metrics: Metrics) => {
          if ((step + 1) % LOGGED_EVERY === 0) log.step(step + 1, metrics);
        },
      }),
      ...(folder && {
        checkpoint: {
          every: folder.every,
          save: (step: number, state: Arrays) => save(lastCheckpoint(folder.directory), step, state, {}),
        },
      }),
    },
    best: () => best,
  };
}

/** The best checkpoint of the run that is resumed; one from beyond the resumed step will be found again. */
async function loadBest({ directory }: RunFolder, run: KeptRun): Promise<BestState | undefined> {
  const path = bestCheckpoint(directory);
  if (run.evaluation === undefined || !existsSync(path)) return undefined;
  const { step, state, metadata, configFingerprint } = await loadCheckpoint(path);
  if (step > run.firstStep || configFingerprint !== run.configFingerprint) return undefined;
  return { step, values: state, heldOut: bestMetadata.parse(metadata).heldOut };
}
