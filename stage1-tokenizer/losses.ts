/**
 * The tokenizer's loss, every part by its name. Knows no network and no optimizer.
 *
 * Source: van den Oord et al. 2017, equation 3, and every bottleneck's own terms in place of its last two.
 */
import { tf } from "../shared/engine/tf.ts";
import type { Terms } from "./bottleneck/bottleneck.ts";

/** reconstructionLoss + Σ weight · value: scalar. */
export function totalLoss(reconstructionLoss: tf.Tensor, terms: Terms): tf.Tensor {
  return Object.values(terms).reduce<tf.Tensor>(
    (loss, { value, weight }) => tf.add(loss, tf.mul(value, weight)),
    reconstructionLoss,
  );
}

/** The terms' values alone, unweighted, by name: what is reported. */
export function termValues(terms: Terms): Record<string, tf.Tensor> {
  return Object.fromEntries(Object.entries(terms).map(([name, { value }]) => [name, value]));
}

/** How evenly a batch uses the codes. counts [K] → scalars: perplexity e^H(p) in 1 … K, and codes chosen at least once. */
export function codeUse(counts: tf.Tensor): { perplexity: tf.Tensor; codesUsed: tf.Tensor } {
  const p = tf.div(counts, tf.sum(counts)); // [K]
  const entropy = tf.neg(tf.sum(tf.mul(p, tf.log(tf.add(p, 1e-10)))));
  return { perplexity: tf.exp(entropy), codesUsed: tf.sum(tf.cast(tf.greater(counts, 0), "float32")) };
}
