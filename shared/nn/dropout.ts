/** Dropout with a mask that was drawn outside: the graph stays deterministic. */
import { tf } from "../engine/tf.ts";
import type { Rng } from "../rng.ts";

/** x · mask / (1 − rate); x itself where there is no mask. @param mask 0/1 of x's shape, uint8 in the batch, int32 here */
export function dropout(x: tf.Tensor, mask: tf.Tensor | undefined, rate: number): tf.Tensor {
  return mask === undefined ? x : tf.mul(x, tf.mul(tf.cast(mask, "float32"), 1 / (1 - rate)));
}

/** 0 with probability `rate` (to the next 1/256), else 1: one random byte an element. */
export function drawDropoutMask(length: number, rate: number, rng: Rng): Uint8Array {
  const threshold = Math.round(rate * 256);
  const mask = new Uint8Array(length);
  for (let i = 0; i < length; i += 4) {
    const word = rng.uint32();
    for (let j = 0; j < 4 && i + j < length; j++) mask[i + j] = Number(((word >>> (8 * j)) & 255) >= threshold);
  }
  return mask;
}
