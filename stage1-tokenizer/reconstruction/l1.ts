/** Mean absolute error over the data's standard deviation: sharper edges than squares, which ask for the mean of what is possible. */
import { tf } from "../../shared/engine/tf.ts";
import type { Reconstruction } from "./reconstruction.ts";

export function createL1({ dataVariance }: { readonly dataVariance: number }) {
  return {
    name: "l1",
    isLikelihood: false,
    specs: {},
    perImage: ({ images, output }) =>
      tf.mul(tf.mean(tf.abs(tf.sub(output, images)), [1, 2, 3]), 1 / Math.sqrt(dataVariance)),
    toImages: (output) => output,
  } as const satisfies Reconstruction;
}
