/** What a likelihood says of every 8-bit level, for one output and one scale. */
import { tf } from "../../../shared/engine/tf.ts";
import type { Reconstruction } from "../../../stage1-tokenizer/reconstruction/reconstruction.ts";

export const scales = (...logScales: readonly number[]): Record<string, tf.Tensor> => ({
  "likelihood.logScale": tf.tensor1d([...logScales]),
});

/** Probabilities of the levels 0 … 255 around `output`, on −0.5 … 0.5, at log-scale `logScale`. */
export function levelProbabilities(likelihood: Reconstruction, output: number, logScale: number): number[] {
  const grey = Array.from({ length: 256 }, (_, level) => Array<number>(3).fill(level / 255 - 0.5));
  const images = tf.tensor(grey.flat(), [256, 1, 1, 3]);
  const weights = scales(logScale, logScale, logScale);
  const nats = likelihood.perImage({ images, output: tf.fill([256, 1, 1, 3], output), weights });
  return [...nats.dataSync()].map((value) => Math.exp(-value));
}

export const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
