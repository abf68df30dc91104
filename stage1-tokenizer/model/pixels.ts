/** The pixel range, in one place: 8-bit levels 0 … 255 outside, −0.5 … 0.5 inside. */
import { tf } from "../../shared/engine/tf.ts";

/** int32 levels → float32 x/255 − 0.5, same shape. */
export function toUnit(levels: tf.Tensor): tf.Tensor {
  return tf.sub(tf.div(tf.cast(levels, "float32"), 255), 0.5);
}

/** float32 → int32 levels, clamped to 0 … 255 and rounded, same shape. The inverse of `toUnit` on whole levels. */
export function toLevels(unit: tf.Tensor): tf.Tensor {
  return tf.cast(tf.round(tf.clipByValue(tf.mul(tf.add(unit, 0.5), 255), 0, 255)), "int32");
}
