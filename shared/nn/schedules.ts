/**
 * Learning rates as functions of the `step` scalar, so that they are part of the traced graph. Know no optimizer.
 */
import { SCHEDULES, type ScheduleName } from "./schedule-names.ts";
import { tf } from "../engine/tf.ts";
import { usageError } from "../errors.ts";

/** `step` (float32 scalar, 0 at the first update) → learning rate (float32 scalar). */
export type Schedule = (step: tf.Tensor) => tf.Tensor;

export interface ScheduleOptions {
  /** The highest rate. */
  readonly learningRate: number;
  /** Updates until the rate first reaches `learningRate`; 0: at once. */
  readonly warmupSteps?: number;
  /** Where the cosine reaches its floor. */
  readonly totalSteps?: number;
  /** Lowest rate of the cosine, as a fraction of `learningRate`. */
  readonly floor?: number;
}

/** Always `rate`. */
export function constant(rate: number): Schedule {
  return () => tf.scalar(rate);
}

/** rate · min(1, (step + 1) / warmupSteps). */
export function linearWarmup(rate: number, warmupSteps: number): Schedule {
  return (step) => tf.mul(rate, warmupFactor(step, warmupSteps));
}

/**
 * Linear warm-up, then rate · (floor + (1 − floor)(1 + cos πp)/2) with p from 0 at the end of the warm-up to 1 at `totalSteps`,
 * and the floor ever after (Loshchilov & Hutter, SGDR, 2017, eq. 5, one period).
 */
export function warmupCosine(options: Required<ScheduleOptions>): Schedule {
  const { learningRate, warmupSteps, totalSteps, floor } = options;
  return (step) => {
    const progress = tf.clipByValue(tf.div(tf.sub(step, warmupSteps), Math.max(1, totalSteps - warmupSteps)), 0, 1);
    const cosine = tf.mul(tf.add(tf.cos(tf.mul(progress, Math.PI)), 1), 0.5); // 1 → 0
    const decay = tf.add(tf.mul(cosine, 1 - floor), floor);
    return tf.mul(tf.mul(decay, learningRate), warmupFactor(step, warmupSteps));
  };
}

function warmupFactor(step: tf.Tensor, warmupSteps: number): tf.Tensor {
  return tf.minimum(tf.div(tf.add(step, 1), Math.max(1, warmupSteps)), 1);
}

/**
 * The schedule called `name`.
 * @throws usage for an unknown name, a rate that is not positive, or a cosine without `totalSteps` beyond its warm-up
 */
export function createSchedule(name: string, options: ScheduleOptions): Schedule {
  const { learningRate, warmupSteps = 0, totalSteps, floor = 0 } = options;
  if (!(learningRate > 0 && Number.isFinite(learningRate)))
    throw usageError({ what: "learning rate must be positive", where: "learningRate", got: String(learningRate) });
  if (!(warmupSteps >= 0))
    throw usageError({ what: "warm-up must not be negative", where: "warmupSteps", got: String(warmupSteps) });
  if (!isScheduleName(name))
    throw usageError({ what: "unknown schedule", where: "schedule", expected: SCHEDULES.join(" or "), got: name });
  switch (name) {
    case "constant":
      return constant(learningRate);
    case "warmup":
      return linearWarmup(learningRate, warmupSteps);
    case "warmup-cosine":
      if (!(totalSteps !== undefined && totalSteps > warmupSteps))
        throw usageError({
          what: "a cosine must end after its warm-up",
          where: "totalSteps",
          expected: `more than ${warmupSteps}`,
          got: String(totalSteps),
        });
      return warmupCosine({ learningRate, warmupSteps, totalSteps, floor });
    default:
      return name satisfies never;
  }
}

function isScheduleName(name: string): name is ScheduleName {
  return SCHEDULES.some((known) => known === name);
}
