/** Cross-entropy of logits and integer targets. Knows no vocabulary. */
import { tf } from "../engine/tf.ts";
import { stopGradient } from "./gradients.ts";

/**
 * −log softmax(logits)[target] in nats, one a row, with label smoothing ε: (1 − ε)·nll + ε·mean over all classes (Szegedy et al. 2016,
 * "Rethinking the Inception Architecture", section 7).
 * @param logits [R, K] @param targets int32 [R], 0 … K−1
 * @returns `loss` [R], with a gradient for the logits; `nats` [R], the same without smoothing and without gradient
 */
export function crossEntropy(
  logits: tf.Tensor,
  targets: tf.Tensor,
  smoothing = 0,
): { loss: tf.Tensor; nats: tf.Tensor } {
  const [, classes = 1] = logits.shape;
  const chosen = tf.cast(tf.oneHot(targets as tf.Tensor1D, classes), "float32"); // [R, K]
  const negative = (logProbabilities: tf.Tensor): tf.Tensor => tf.neg(tf.sum(tf.mul(logProbabilities, chosen), -1)); // [R]
  const apply = tf.customGrad((input, save) => {
    const logProbabilities = tf.logSoftmax(input as tf.Tensor); // [R, K]
    (save as tf.GradSaveFunc)([logProbabilities]);
    const nll = negative(logProbabilities);
    const value =
      smoothing === 0 ? nll : tf.sub(tf.mul(nll, 1 - smoothing), tf.mul(tf.mean(logProbabilities, -1), smoothing));
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor => {
      const [log] = saved as [tf.Tensor];
      const target = smoothing === 0 ? chosen : tf.add(tf.mul(chosen, 1 - smoothing), smoothing / classes);
      return tf.mul(tf.sub(tf.exp(log), target), tf.expandDims(dy, 1));
    };
    return { value, gradFunc };
  });
  // Written twice for the reader; a traced graph computes the log-softmax once.
  return { loss: apply(logits), nats: negative(tf.logSoftmax(stopGradient(logits))) };
}
