/**
 * The tokenizer's loss, every part by its name. Knows no network and no optimizer.
 *
 * Source: van den Oord et al. 2017, equation 3; the reconstruction term divided by the data's variance as in Sonnet's example.
 */
import { tf } from "../shared/engine/tf.ts";
import type { Quantized } from "./quantizer/quantizer.ts";

export interface LossInputs {
  /** [B, H, W, 3], −0.5 … 0.5 */
  readonly images: tf.Tensor;
  /** [B, H, W, 3] */
  readonly reconstruction: tf.Tensor;
  readonly quantized: Pick<Quantized, "codebookLoss" | "commitmentLoss">;
  /** β */
  readonly commitmentWeight: number;
  /** Variance of the training images on the same scale. */
  readonly dataVariance: number;
}

/** All scalars; loss = reconstructionLoss + codebookLoss + β · commitmentLoss. */
export interface LossParts {
  readonly loss: tf.Tensor;
  /** Mean squared error / data variance: 1 for the best constant image. */
  readonly reconstructionLoss: tf.Tensor;
  readonly codebookLoss: tf.Tensor;
  readonly commitmentLoss: tf.Tensor;
}

export function tokenizerLoss(inputs: LossInputs): LossParts {
  const { codebookLoss, commitmentLoss } = inputs.quantized;
  const squared = tf.mean(tf.square(tf.sub(inputs.reconstruction, inputs.images)));
  const reconstructionLoss = tf.mul(squared, 1 / inputs.dataVariance);
  const commitment = tf.mul(commitmentLoss, inputs.commitmentWeight);
  const loss = tf.add(tf.add(reconstructionLoss, codebookLoss), commitment);
  return { loss, reconstructionLoss, codebookLoss, commitmentLoss };
}

/** How evenly a batch uses the codes. counts [K] → scalars: perplexity e^H(p) in 1 … K, and codes chosen at least once. */
export function codeUse(counts: tf.Tensor): { perplexity: tf.Tensor; codesUsed: tf.Tensor } {
  const p = tf.div(counts, tf.sum(counts)); // [K]
  const entropy = tf.neg(tf.sum(tf.mul(p, tf.log(tf.add(p, 1e-10)))));
  return { perplexity: tf.exp(entropy), codesUsed: tf.sum(tf.cast(tf.greater(counts, 0), "float32")) };
}
