/**
 * The training loop: draws batches ahead, steps, evaluates, checkpoints and stops cleanly. Knows no model, no file and no
 * screen: a trainer, a function `step → batch` and a reporter are handed in.
 */
import { setImmediate as yieldToEvents } from "node:timers/promises";
import type { Arrays, Trainer } from "../engine/engine.ts";
import { numericalError, usageError } from "../errors.ts";
import type { Reporter, UnitsPerStep } from "./reporter.ts";

/** Scalar metrics by name. */
export type Metrics = Readonly<Record<string, number>>;

export interface Batch {
  /** What `Trainer.step` takes. */
  readonly arrays: Arrays;
  /** Names of the examples, for the error that says which batch broke the run. */
  readonly keys: readonly string[];
}

export interface LoopOptions {
  readonly trainer: Pick<Trainer, "step" | "state">;
  /** A pure function of the step: calling it again for the same step gives the same batch, which is what makes resuming exact. */
  readonly batch: (step: number) => Promise<Batch>;
  /** The first step to run: 0, or the step a checkpoint was saved at. */
  readonly firstStep: number;
  /** One past the last step: steps `firstStep` … `steps − 1` are run. */
  readonly steps: number;
  /**
   * Runs whenever the number of finished steps is a multiple of `every`, and at the end. A run continued at such a moment begins with it,
   * since whatever stopped the one before may have left it out.
   */
  readonly evaluate?: { readonly every: number; readonly run: (state: Arrays, step: number) => Promise<Metrics> };
  /** Saves at the same moments and after an interruption; `step` is the number of finished steps, the next `firstStep`. */
  readonly checkpoint?: { readonly every: number; readonly save: (step: number, state: Arrays) => Promise<void> };
  readonly reporter: Reporter;
  /** Aborted: the running step is finished, its state saved, and the loop returns. */
  readonly signal?: AbortSignal;
  /** For people: "tokenizer", "causal prior". */
  readonly label: string;
  /** What a step works through, for the rate: 16 images, 4096 tokens. */
  readonly unitsPerStep?: UnitsPerStep;
  /** Called after each good step with its index and scalar metrics. */
  readonly onStep?: (step: number, metrics: Metrics) => void;
}

export interface LoopResult {
  /** Finished steps, counted from 0: the `firstStep` to resume at. */
  readonly step: number;
  /** Whether the signal asked to stop; the evaluation at the end is then left out. */
  readonly interrupted: boolean;
  /** Scalars of the last step run; empty if none was. */
  readonly metrics: Metrics;
  /** What `evaluate` last returned; empty if it never ran. */
  readonly evaluation: Metrics;
}

/**
 * Runs the steps. While step s computes, batch s + 1 is already being prepared.
 * @throws numerical (exit 5) at the first step whose loss, another scalar metric, or state about to be saved is not finite; nothing
 *   is saved from then on, so the last checkpoint is a good one
 * @throws usage if `firstStep` … `steps` is not a range of whole numbers
 */
export async function runLoop(options: LoopOptions): Promise<LoopResult> {
  checkOptions(options);
  const { trainer, reporter, steps, firstStep, signal } = options;
  const duties = createDuties(options);
  let [step, metrics]: [number, Metrics] = [firstStep, {}];
  let next = isAborted(signal) ? undefined : prepare(options, step);
  reporter.start(options.label, steps, {
    first: firstStep,
    ...(options.unitsPerStep !== undefined && { unitsPerStep: options.unitsPerStep }),
  });
  try {
    if (!isAborted(signal) && firstStep > 0 && firstStep < steps) await duties.evaluateIfDue(firstStep);
    while (next !== undefined && !isAborted(signal)) {
      const batch = await next;
      next = prepare(options, step + 1);
      metrics = scalarsOf(await trainer.step(batch.arrays));
      checkMetrics(metrics, { ...options, step, keys: batch.keys, savedAt: duties.savedAt() });
      options.onStep?.(step, metrics);
      step++;
      reporter.progress(step, metrics);
      // A running step blocks the event loop; signals and finished reads get in here.
      await yieldToEvents();
      if (!isAborted(signal) && step < steps) await duties.due(step);
    }
    if (!isAborted(signal)) await duties.evaluate(step);
    if (step > firstStep) await duties.save(step);
    return { step, interrupted: isAborted(signal), metrics, evaluation: duties.evaluation() };
  } finally {
    // Leaves no read running behind a caller that goes on to close or delete what it reads.
    await next?.catch(() => undefined);
    reporter.finish();
  }
}

/** Starts preparing the batch of `step`; a failure waits for whoever awaits it instead of ending the process. */
function prepare({ batch, steps }: LoopOptions, step: number): Promise<Batch> | undefined {
  if (step >= steps) return undefined;
  const preparing = (async () => batch(step))();
  preparing.catch(() => undefined);
  return preparing;
}

/** Evaluation and checkpoints: each at most once per step, both from one snapshot of the state. */
function createDuties({ trainer, evaluate, checkpoint, reporter, label }: LoopOptions) {
  let evaluation: Metrics = {};
  let evaluatedAt: number | undefined;
  let savedAt: number | undefined;
  let snapshot: { step: number; state: Arrays } | undefined;

  const stateAt = async (step: number): Promise<Arrays> => {
    if (snapshot?.step !== step) snapshot = { step, state: await trainer.state() };
    return snapshot.state;
  };
  const duties = {
    evaluation: () => evaluation,
    savedAt: () => savedAt,
    async evaluate(step: number): Promise<void> {
      if (evaluate === undefined || evaluatedAt === step) return;
      const state = await stateAt(step);
      checkState(state, { label, step, savedAt });
      evaluation = await evaluate.run(state, step);
      evaluatedAt = step;
      const figures = Object.entries(evaluation).map(([name, value]) => `${name} ${Number(value.toPrecision(5))}`);
      reporter.note(`${label}: after step ${step}: ${figures.join(", ")}`);
    },
    async save(step: number): Promise<void> {
      if (checkpoint === undefined || savedAt === step) return;
      const state = await stateAt(step);
      checkState(state, { label, step, savedAt });
      await checkpoint.save(step, state);
      savedAt = step;
    },
    async evaluateIfDue(step: number): Promise<void> {
      if (evaluate !== undefined && step % evaluate.every === 0) await duties.evaluate(step);
    },
    async due(step: number): Promise<void> {
      await duties.evaluateIfDue(step);
      if (checkpoint !== undefined && step % checkpoint.every === 0) await duties.save(step);
      snapshot = undefined;
    },
  };
  return duties;
}

function scalarsOf(metrics: Arrays): Metrics {
  return Object.fromEntries(
    Object.entries(metrics).flatMap(([name, { length, 0: value }]) =>
      length === 1 && value !== undefined ? [[name, value]] : [],
    ),
  );
}

const NAMED_KEYS = 64;

function checkMetrics(
  metrics: Metrics,
  at: { label: string; step: number; keys: readonly string[]; savedAt: number | undefined },
): void {
  if (metrics["loss"] === undefined) throw new Error(`${at.label}: a training step must report a scalar "loss".`);
  const broken = Object.entries(metrics).find(([, value]) => !Number.isFinite(value));
  if (broken === undefined) return;
  const rest = at.keys.length > NAMED_KEYS ? ` and ${at.keys.length - NAMED_KEYS} more` : "";
  throw numericalError({
    what: `${broken[0]} is not finite`,
    where: `${at.label}, step ${at.step}`,
    got: String(broken[1]),
    todo: `Its batch was: ${at.keys.slice(0, NAMED_KEYS).join(", ")}${rest}. ${advice(at.savedAt)}`,
  });
}

/** A loss is computed before its update, so a step with a finite loss can still leave a broken state: never keep one. */
function checkState(state: Arrays, at: { label: string; step: number; savedAt: number | undefined }): void {
  for (const [name, values] of Object.entries(state)) {
    if (!(values instanceof Float32Array)) continue;
    const index = values.findIndex((value) => !Number.isFinite(value));
    if (index < 0) continue;
    throw numericalError({
      what: `${name}[${index}] is not finite, so this state is neither measured nor saved`,
      where: `${at.label}, after ${at.step} steps`,
      got: String(values[index]),
      todo: advice(at.savedAt),
    });
  }
}

function advice(savedAt: number | undefined): string {
  const kept =
    savedAt === undefined ? "No checkpoint was written in this run" : `The checkpoint of step ${savedAt} is good`;
  return `${kept}; lower the learning rate or look at these examples`;
}

function checkOptions({ firstStep, steps, label, evaluate, checkpoint }: LoopOptions): void {
  if (!(Number.isInteger(firstStep) && Number.isInteger(steps) && firstStep >= 0 && firstStep <= steps)) {
    throw usageError({
      what: "there are no such steps to run",
      where: label,
      expected: "whole numbers with 0 ≤ first step ≤ steps",
      got: `first step ${firstStep}, steps ${steps}`,
      todo: "A checkpoint can only be continued to a later step.",
    });
  }
  for (const every of [evaluate?.every, checkpoint?.every]) {
    if (every === undefined || (Number.isInteger(every) && every >= 1)) continue;
    throw usageError({
      what: "`every` must be a whole number of steps",
      where: label,
      expected: "≥ 1",
      got: String(every),
    });
  }
}

/** A function, because the flag changes behind the compiler's back between two looks. */
const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;
