/** Feature vectors of images and distances between them. Knows neither images nor what the features are. */
import { invariant } from "../../shared/errors.ts";

export interface Vectors {
  /** [N, F], finite */
  readonly features: Float32Array;
  /** F */
  readonly size: number;
}

/** N */
export function rowsOf({ features, size }: Vectors): number {
  invariant(size > 0 && features.length % size === 0, `${features.length} values are no whole vectors of ${size}`);
  return features.length / size;
}

/** @throws Error (a bug of the caller) if the vectors differ in length */
export function checkSameSize(a: Vectors, b: Vectors): void {
  invariant(a.size === b.size, `vectors must be of one length, got ${a.size} and ${b.size}`);
}

/** ‖a_i − b_j‖², or some value above `limit` as soon as it is that large. */
export function squaredDistance(a: Vectors, i: number, b: Vectors, j: number, limit = Infinity): number {
  const [startA, startB] = [i * a.size, j * b.size];
  let sum = 0;
  for (let f = 0; f < a.size; f++) {
    const difference = (a.features[startA + f] ?? 0) - (b.features[startB + f] ?? 0);
    sum += difference * difference;
    if (sum > limit) return sum;
  }
  return sum;
}
