/**
 * What the leaves share whose encoder gives a logit per code: the table of codes, the choice without noise, the looking up. The codes
 * are weights [K, D] that learn through the decoder. Knows no estimator.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import {
  entryOf,
  initialise,
  type InitialState,
  prefixState,
  uniform,
  type WeightSpecs,
} from "../../shared/nn/state.ts";
import type { Rng } from "../../shared/rng.ts";
import type { CodebookSize, DiscreteBottleneck } from "./bottleneck.ts";
import { checkChannels, lookupCodes } from "./nearest.ts";

const EMBEDDING = "codebook.embedding";

export const embeddingOf = (state: Tensors): tf.Tensor2D => entryOf(state, `weight/${EMBEDDING}`) as tf.Tensor2D; // [K, D]

/** Codes uniform in ±1, and further weights of a leaf under `codebook.…`. */
export function initialCodes(
  { codebookSize, codeDimension }: CodebookSize,
  rng: Rng,
  more: WeightSpecs = {},
): InitialState {
  const embedding = { shape: [codebookSize, codeDimension], init: uniform(1) };
  return prefixState(initialise({ [EMBEDDING]: embedding, ...more }, rng), "weight");
}

/** zE [B, h, w, K] → logits [N, K], N = B·h·w. */
export function logitRows(zE: tf.Tensor, codebookSize: number): tf.Tensor2D {
  checkChannels(zE, codebookSize);
  return tf.reshape(zE, [-1, codebookSize]);
}

/** Weights of the codes [N, K] → their mixtures [B, h, w, D] at the positions of zE. */
export function mixCodes(weights: tf.Tensor2D, state: Tensors, zE: tf.Tensor): tf.Tensor {
  const embedding = embeddingOf(state);
  return tf.reshape(tf.matMul(weights, embedding), [...zE.shape.slice(0, 3), embedding.shape[1]]);
}

/** int32 [N] → float32 [N, K] of one 1 a row. */
export const oneHot = (indices: tf.Tensor1D, codebookSize: number): tf.Tensor2D =>
  tf.oneHot(indices, codebookSize, 1, 0, "float32") as tf.Tensor2D;

/** The parts of a leaf that do not depend on its estimator. */
export function logitLeaf({ codebookSize, codeDimension }: CodebookSize) {
  return {
    kind: "discrete",
    codebookSize,
    encoderChannels: codebookSize,
    decoderChannels: codeDimension,
    assign(zE: tf.Tensor): tf.Tensor {
      return tf.reshape(tf.argMax(logitRows(zE, codebookSize), 1), zE.shape.slice(0, 3)); // [B, h, w]
    },
    lookup: (tokens: tf.Tensor, state: Tensors) => lookupCodes(tokens, embeddingOf(state)),
  } as const satisfies Partial<DiscreteBottleneck>;
}
