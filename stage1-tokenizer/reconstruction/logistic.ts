/**
 * Discretised logistic: the probability a logistic distribution around the decoder's output gives to the whole 8-bit level, the outermost
 * levels reaching to infinity; a learnt scale s per colour. With a and b the standardised edges of the level, b − a = w:
 * log(σ(b) − σ(a)) = log σ(b) + log σ(−a) + log(1 − e^−w), which loses no digits.
 *
 * Source: Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", 2016, appendix D.
 */
import { tf } from "../../shared/engine/tf.ts";
import type { Reconstruction } from "./reconstruction.ts";
import { LEVEL, logScale, scaleSpecs } from "./scale.ts";

/** Beyond this, on −0.5 … 0.5, a value is the outermost level. */
const EDGE = 0.5 - LEVEL / 2;

export function createLogistic() {
  return {
    name: "logistic",
    isLikelihood: true,
    specs: scaleSpecs,
    perImage({ images, output, weights }) {
      const inverse = tf.exp(tf.neg(logScale(weights))); // 1 / s, [3]
      const centred = tf.sub(images, output); // [B, H, W, 3]
      const a = tf.mul(tf.sub(centred, LEVEL / 2), inverse);
      const b = tf.mul(tf.add(centred, LEVEL / 2), inverse);
      const belowTop = tf.cast(tf.less(images, EDGE), "float32");
      const aboveBottom = tf.cast(tf.greater(images, -EDGE), "float32");
      const width = tf.log(tf.sub(1, tf.exp(tf.mul(inverse, -LEVEL)))); // log(1 − e^−w), [3]
      const nats = tf.sub(
        tf.add(tf.mul(belowTop, tf.softplus(tf.neg(b))), tf.mul(aboveBottom, tf.softplus(a))),
        tf.mul(tf.mul(belowTop, aboveBottom), width),
      );
      return tf.mean(nats, [1, 2, 3]); // [B]
    },
    toImages: (output) => output,
  } as const satisfies Reconstruction;
}
