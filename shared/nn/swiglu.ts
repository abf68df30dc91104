/** The gated feed-forward layer (Shazeer 2020, "GLU Variants Improve Transformer", eq. 6). Knows no model. */
import { tf } from "../engine/tf.ts";

/**
 * SiLU(gate) · up of one fused product.
 * @param x [.., 2F]: gate, then up @returns [.., F]
 */
export function swiglu(x: tf.Tensor): tf.Tensor {
  const features = (x.shape.at(-1) ?? 0) / 2;
  const activate = tf.customGrad((input, save) => {
    const [gate, up] = tf.split(input as tf.Tensor, 2, -1) as [tf.Tensor, tf.Tensor]; // [.., F] each
    const opening = tf.sigmoid(gate);
    const silu = tf.mul(gate, opening);
    (save as tf.GradSaveFunc)([up, opening, silu]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor => {
      const [u, s, y] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
      // d(g·σ(g))/dg = σ + g·σ·(1 − σ) = σ + y − y·σ
      const slope = tf.add(s, tf.sub(y, tf.mul(y, s)));
      return tf.concat([tf.mul(tf.mul(dy, u), slope), tf.mul(dy, y)], -1);
    };
    return { value: tf.mul(silu, up), gradFunc };
  });
  const y = activate(x);
  return tf.reshape(y, [...x.shape.slice(0, -1), features]);
}
