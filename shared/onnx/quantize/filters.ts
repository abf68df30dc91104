/** A convolution's filters and bias in the integers that its sums are counted in. Knows no graph. */
import type { Initializer } from "../model.ts";
import { floatsOf } from "./constants.ts";
import { quantizeWeights } from "./weights.ts";

export interface Filters {
  /** Row-major, in the kernel's shape. */
  readonly values: Int8Array<ArrayBuffer>;
  /** A filter's step. */
  readonly scales: Float32Array<ArrayBuffer>;
  /** In the input's steps times the filter's: what sums are counted in. */
  readonly bias: Int32Array<ArrayBuffer> | undefined;
}

/** Largest magnitude of a bias in those steps: leaves a sum room in int32. */
const LARGEST_BIAS = 2 ** 30;

/** Where a filter's weights are so small beside its bias that their steps would not hold it, both are counted in larger ones. */
export function quantizeFilters(kernel: Initializer, offsets: Initializer | undefined, inputScale: number): Filters {
  const weights = floatsOf(kernel);
  const { values, scales } = quantizeWeights(weights, kernel.shape, 0);
  const bias = offsets === undefined ? new Float32Array(scales.length) : floatsOf(offsets);
  const steps = scales.map((scale, filter) => Math.max(scale, Math.abs(bias[filter] ?? 0) / (inputScale * LARGEST_BIAS))); // prettier-ignore
  const length = weights.length / scales.length;
  const rounded = values.map((value, i) => {
    const step = steps[Math.floor(i / length)] ?? 1;
    return step === scales[Math.floor(i / length)] ? value : Math.round((weights[i] ?? 0) / step);
  });
  const counted = Int32Array.from(bias, (value, filter) => Math.round(value / (inputScale * (steps[filter] ?? 1))));
  return { values: rounded, scales: steps, bias: offsets === undefined ? undefined : counted };
}
