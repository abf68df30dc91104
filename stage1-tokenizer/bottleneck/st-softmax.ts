/**
 * Straight-through softmax: forward the one-hot of the largest logit, backward the gradient of the softmax. Deterministic, and biased:
 * the decoder only ever sees pure codes, the encoder is told about mixtures.
 *
 * Source: Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { straightThrough } from "../../shared/nn/straight-through.ts";
import type { Bottled, CodebookSize, DiscreteBottleneck } from "./bottleneck.ts";
import { initialCodes, logitLeaf, logitRows, mixCodes, oneHot } from "./logits.ts";
import { countCodes } from "./nearest.ts";

export function createStSoftmax(size: CodebookSize) {
  const { codebookSize } = size;

  function forward(zE: tf.Tensor, state: Tensors): Bottled {
    const logits = logitRows(zE, codebookSize); // [N, K]
    const indices = tf.argMax<tf.Tensor1D>(logits, 1); // [N]
    const y = straightThrough(tf.softmax(logits), oneHot(indices, codebookSize)) as tf.Tensor2D; // [N, K]
    return {
      z: mixCodes(y, state, zE),
      terms: {},
      statistics: { counts: countCodes(indices, codebookSize) },
      metrics: {},
    };
  }

  return {
    ...logitLeaf(size),
    name: "st-softmax",
    initialState: (rng) => initialCodes(size, rng),
    drawn: { spec: {}, draw: () => ({}) },
    forward,
    updateState: () => ({}),
  } as const satisfies DiscreteBottleneck;
}
