/**
 * What samplers with a mask schedule share: how many tokens an image fixes in each step, over its own open positions. Knows nothing of
 * which they are.
 */
import { usageError } from "../../shared/errors.ts";
import { UNKNOWN } from "../../shared/tokens.ts";
import { uncoverCounts, type MaskSchedule } from "../mask-schedule.ts";
import type { SampleOptions, Start, TokensToLogits } from "./sampler.ts";

export interface ScheduledOptions extends SampleOptions<TokensToLogits> {
  /** Network calls, 1 … h·w. An image with fewer open positions than steps is done after as many. */
  readonly steps: number;
  readonly schedule: MaskSchedule;
}

/** How many tokens each image fixes in each of its steps; an image with nothing open has none. */
export function planImages({ tokens, length, rngs }: Start, steps: number, schedule: MaskSchedule): Int32Array[] {
  return rngs.map((_, image) => {
    const open = tokens.subarray(image * length, (image + 1) * length).filter((token) => token === UNKNOWN).length;
    return open === 0 ? new Int32Array(0) : uncoverCounts(open, Math.min(steps, open), schedule);
  });
}

/** The whole grid bounds `steps`, so that what is asked does not depend on how much of an image is known. */
export function checkSteps(steps: number, length: number): void {
  if (Number.isInteger(steps) && steps >= 1 && steps <= length) return;
  throw usageError({
    what: "cannot fix at least one token in every step",
    where: "steps",
    expected: `an integer 1 … ${length}, the positions of the grid`,
    got: String(steps),
  });
}
