/** The gated feed-forward layer (Shazeer 2020, "GLU Variants Improve Transformer", eq. 6). Knows no model. */
import { tf } from "../engine/tf.ts";

/**
 * SiLU(gate) · up. Two arguments, because a product of both side by side would be cut apart again: a pass over the widest tensors there are.
 * @param gate [.., F] @param up [.., F] @returns [.., F]
 */
export function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  const activate = tf.customGrad((g, u, save) => {
    const [opened, value] = [g as tf.Tensor, u as tf.Tensor];
    const opening = tf.sigmoid(opened);
    const silu = tf.mul(opened, opening);
    (save as tf.GradSaveFunc)([value, opening, silu]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const [v, s, y] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
      // d(g·σ(g))/dg = σ + g·σ·(1 − σ) = σ + y − y·σ
      const slope = tf.add(s, tf.sub(y, tf.mul(y, s)));
      return [tf.mul(tf.mul(dy, v), slope), tf.mul(dy, y)];
    };
    return { value: tf.mul(silu, value), gradFunc };
  });
  return activate(gate, up);
}
