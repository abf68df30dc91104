/** Which positions of an image are hidden: a uniform draw of so many. Knows no objective. */
import type { Rng } from "../../shared/rng.ts";

/** `count` distinct positions of 0 … length − 1, at least one and at most all. */
export function hiddenPositions(length: number, count: number, rng: Rng): Int32Array {
  return rng.permutation(length).subarray(0, Math.min(length, Math.max(1, count)));
}
