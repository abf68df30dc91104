/**
 * Bernoulli cross-entropy: an intensity t in 0 … 1 is read as a probability, the decoder gives a logit o: softplus(o) − t·o. A likelihood of
 * black and white pixels only; of greys it is the customary stand-in.
 *
 * Source: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix C.1.
 */
import { tf } from "../../shared/engine/tf.ts";
import type { Reconstruction } from "./reconstruction.ts";

export function createBce() {
  return {
    name: "bce",
    isLikelihood: true,
    specs: {},
    perImage({ images, output }) {
      const intensity = tf.add(images, 0.5); // 0 … 1
      return tf.mean(tf.sub(tf.softplus(output), tf.mul(intensity, output)), [1, 2, 3]); // [B]
    },
    toImages: (output) => tf.sub(tf.sigmoid(output), 0.5),
  } as const satisfies Reconstruction;
}
