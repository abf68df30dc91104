/** Root-mean-square normalisation. Knows no model. */
import { tf } from "../engine/tf.ts";

const EPSILON = 1e-6;

/**
 * y = x / √(mean(x²) + ε) · gain over the last axis (Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4).
 * Written as the quotient that onnxruntime runs as one node where no gradient asks for its parts. The gradient is written out: autodiff of the same
 * formula reads x five more times.
 * @param x [.., M] @param gain [M]
 */
export function rmsNorm(x: tf.Tensor, gain: tf.Tensor): tf.Tensor {
  const apply = tf.customGrad((input, scale, save) => {
    const [value, weight, keep] = [input as tf.Tensor, scale as tf.Tensor, save as tf.GradSaveFunc];
    const root = tf.sqrt(tf.add(tf.mean(tf.pow(value, 2), -1, true), EPSILON)); // [.., 1]
    const unit = tf.div(value, root); // [.., M]
    keep([unit, root, weight]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const [u, r, g] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
      const scaled = tf.mul(dy, g);
      const along = tf.mean(tf.mul(scaled, u), -1, true); // [.., 1]
      const dx = tf.div(tf.sub(scaled, tf.mul(u, along)), r);
      const dGain = tf.sum(tf.mul(dy, u), [...Array(dy.rank - 1).keys()]);
      return [dx, dGain];
    };
    return { value: tf.mul(unit, weight), gradFunc };
  });
  return apply(x, gain);
}
