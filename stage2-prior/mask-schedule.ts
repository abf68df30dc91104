/**
 * How much of a grid is masked: a schedule is a function u → mask ratio, from 1 (all masked) at u = 0 down to 0 at u = 1. Training
 * draws u uniformly; decoding lets u run through the steps. Knows neither network nor sampler.
 *
 * Source: Chang, Zhang, Jiang, Liu, Freeman, "MaskGIT: Masked Generative Image Transformer", CVPR 2022, arXiv:2202.04200, §3.3
 * (the paper's γ(r)).
 */
import { usageError } from "../shared/errors.ts";

export interface MaskSchedule {
  readonly name: string;
  /** γ: the fraction masked at `u` in 0 … 1; decreasing, ratio(0) = 1, ratio(1) = 0. */
  ratio(u: number): number;
  /** ∫ ratio(u) du over 0 … 1: the fraction masked in training, on average. */
  readonly meanRatio: number;
}

/** Every schedule there is; a new one is a line here. */
export const MASK_SCHEDULES = {
  cosine: { name: "cosine", ratio: (u) => Math.cos((Math.PI / 2) * u), meanRatio: 2 / Math.PI },
  arccos: { name: "arccos", ratio: (u) => (2 / Math.PI) * Math.acos(u), meanRatio: 2 / Math.PI },
  linear: { name: "linear", ratio: (u) => 1 - u, meanRatio: 1 / 2 },
  square: { name: "square", ratio: (u) => 1 - u * u, meanRatio: 2 / 3 },
} as const satisfies Record<string, MaskSchedule>;

export type MaskScheduleName = keyof typeof MASK_SCHEDULES;

/** @throws usage if there is no schedule of that name */
export function maskSchedule(name: string): MaskSchedule {
  const schedule = Object.values<MaskSchedule>(MASK_SCHEDULES).find((candidate) => candidate.name === name);
  if (schedule !== undefined) return schedule;
  throw usageError({
    what: "unknown mask schedule",
    where: "schedule",
    expected: Object.keys(MASK_SCHEDULES).join(", "),
    got: JSON.stringify(name),
  });
}

/**
 * How many tokens decoding newly fixes at each of `steps` steps: after step s, ⌊length · γ(s/steps)⌋ stay masked (eq. 4 of the
 * paper has ⌈ ⌉), moved where needed so that every step fixes at least one.
 * @returns Int32Array [steps], each ≥ 1, together `length`
 * @throws usage unless 1 ≤ steps ≤ length
 */
export function uncoverCounts(length: number, steps: number, schedule: MaskSchedule): Int32Array {
  if (!(Number.isInteger(steps) && Number.isInteger(length) && steps >= 1 && steps <= length)) {
    throw usageError({
      what: "cannot fix at least one token in every step",
      where: "steps",
      expected: `an integer 1 … ${length}, the number of open positions`,
      got: String(steps),
    });
  }
  let masked = length;
  return new Int32Array(steps).map((_, step) => {
    const stepsLeft = steps - step - 1;
    // The small addend keeps a product such as 10·(1 − 0.3), meant to be whole, from being floored to one less.
    const planned = stepsLeft === 0 ? 0 : Math.floor(length * schedule.ratio((step + 1) / steps) + 1e-9);
    const next = Math.max(stepsLeft, Math.min(planned, masked - 1));
    const newlyFixed = masked - next;
    masked = next;
    return newlyFixed;
  });
}
