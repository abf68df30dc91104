/** Mean squared error over the data's variance, as in Sonnet's VQ-VAE example: 1 for the best constant image. */
import { tf } from "../../shared/engine/tf.ts";
import type { Reconstruction } from "./reconstruction.ts";

export function createL2({ dataVariance }: { readonly dataVariance: number }) {
  return {
    name: "l2",
    isLikelihood: false,
    specs: {},
    perImage: ({ images, output }) => tf.mul(tf.mean(tf.square(tf.sub(output, images)), [1, 2, 3]), 1 / dataVariance),
    toImages: (output) => output,
  } as const satisfies Reconstruction;
}
