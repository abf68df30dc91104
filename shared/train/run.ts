/** What the two training runs share: steps for a given time, and a state that can be continued. Knows no model. */
import { existsSync } from "node:fs";
import { z } from "zod";

import type { Engine, Signature, Trainer } from "../engine/engine.ts";
import type { InitialState } from "../nn/state.ts";
import { secondsPerStep } from "./calibrate.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import type { Batch, LoopOptions } from "./loop.ts";
import type { Reporter } from "./reporter.ts";

/** Where to keep the last checkpoint; `resume` continues from it if it is there. */
export interface CheckpointPlan {
  readonly path: string;
  /** Steps between checkpoints. */
  readonly every: number;
  readonly resume: boolean;
}

/** What every training run is given beside its configuration and its data. */
export interface RunOptions {
  readonly engine: Engine;
  readonly seed: number;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal;
  /** Train for about this long instead of the configuration's steps; the number of steps is measured first and recorded. */
  readonly seconds?: number;
  readonly checkpoint?: CheckpointPlan;
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
  readonly checkpoint?: CheckpointPlan | undefined;
  /** A trainer made for measuring; it is spoilt and disposed of. */
  readonly probe: () => Promise<Trainer>;
  readonly batch: (step: number) => Promise<Batch>;
  readonly reporter: Reporter;
}

const runMetadata = z.object({ steps: z.int().min(1) });

/** Number of steps that fill `seconds`: measured, or what was measured when the run to be resumed began. */
export async function stepsForTime(run: TimedRun): Promise<number> {
  const { label, seconds, warmupSteps, checkpoint, reporter } = run;
  if (checkpoint !== undefined && canResume(checkpoint)) {
    return runMetadata.parse((await loadCheckpoint(checkpoint.path)).metadata).steps;
  }
  const trainer = await run.probe();
  const perStep = await secondsPerStep(trainer, run.batch);
  await trainer.dispose();
  const steps = Math.max(warmupSteps + 1, Math.round(seconds / perStep));
  reporter.note(`${label}: ${(perStep * 1000).toFixed(0)} ms a step, ${steps} steps in ${seconds.toFixed(0)} s`);
  return steps;
}

const canResume = ({ path, resume }: CheckpointPlan): boolean => resume && existsSync(path);

export interface StartingPoint {
  readonly state: InitialState;
  /** Finished steps. */
  readonly step: number;
}

/**
 * The checkpoint's state if there is one to resume, else a fresh one.
 * @param configFingerprint what a run must agree on to continue another
 * @throws mismatch if the checkpoint is damaged or of another run
 */
export async function startingPoint(run: {
  readonly label: string;
  readonly checkpoint: CheckpointPlan | undefined;
  readonly configFingerprint: string;
  readonly fresh: () => Promise<InitialState>;
  readonly reporter: Reporter;
}): Promise<StartingPoint> {
  const { label, checkpoint, configFingerprint, fresh, reporter } = run;
  if (checkpoint === undefined || !canResume(checkpoint)) return { state: await fresh(), step: 0 };
  const { state, spec, step } = await loadCheckpoint(checkpoint.path, { configFingerprint });
  reporter.note(`${label}: resuming ${checkpoint.path} at step ${step}`);
  return { state: { spec, values: state }, step };
}

/** The loop's `checkpoint` option, or nothing where none is kept. */
export function checkpointing(
  checkpoint: CheckpointPlan | undefined,
  run: { readonly spec: Signature; readonly configFingerprint: string; readonly steps: number },
): Pick<LoopOptions, "checkpoint"> {
  if (checkpoint === undefined) return {};
  const { spec, configFingerprint, steps } = run;
  return {
    checkpoint: {
      every: checkpoint.every,
      save: (step, state) =>
        saveCheckpoint(checkpoint.path, { step, state, spec, configFingerprint, metadata: { steps } }),
    },
  };
}
