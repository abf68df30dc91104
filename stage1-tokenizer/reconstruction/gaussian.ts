/**
 * A normal around the decoder's output with a learnt deviation σ per colour: MSE as a likelihood. In nats of 8-bit levels: the density
 * times the width of a level, which is close as long as σ is not far below one.
 *
 * Source: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix C.2; a learnt common σ as in Rybkin, Daniilidis,
 * Levine, "Simple and Effective VAE Training with Calibrated Decoders", 2021.
 */
import { tf } from "../../shared/engine/tf.ts";
import type { Reconstruction } from "./reconstruction.ts";
import { LEVEL, logScale, scaleSpecs } from "./scale.ts";

export function createGaussianLikelihood() {
  return {
    name: "gaussian",
    isLikelihood: true,
    specs: scaleSpecs,
    perImage({ images, output, weights }) {
      const logSigma = logScale(weights); // [3]
      const standardised = tf.mul(tf.sub(images, output), tf.exp(tf.neg(logSigma))); // [B, H, W, 3]
      const nats = tf.add(tf.mul(tf.square(standardised), 0.5), logSigma);
      return tf.add(tf.mean(nats, [1, 2, 3]), 0.5 * Math.log(2 * Math.PI) - Math.log(LEVEL)); // [B]
    },
    toImages: (output) => output,
  } as const satisfies Reconstruction;
}
