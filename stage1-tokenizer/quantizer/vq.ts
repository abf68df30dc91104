/**
 * VQ: the codebook is a weight like any other and learns by gradient from the codebook loss ‖sg(zE) − e‖². Knows no revival:
 * a code that is never chosen stays where it is.
 *
 * Source: van den Oord, Vinyals, Kavukcuoglu, "Neural Discrete Representation Learning", 2017, equations 1–3.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { entryOf, initialise, prefixState, uniform } from "../../shared/nn/state.ts";
import { straightThrough } from "../../shared/nn/straight-through.ts";
import { countCodes, detachedRows, lookupCodes, nearestCodes, pull } from "./nearest.ts";
import type { Quantized, Quantizer, QuantizerSize } from "./quantizer.ts";

const CODEBOOK = "weight/codebook.embedding";

export function createVq({ codebookSize, codeDimension }: QuantizerSize): Quantizer {
  const shape = [codebookSize, codeDimension];

  function assign(zE: tf.Tensor, state: Tensors): tf.Tensor {
    const flat = nearestCodes(detachedRows(zE, codeDimension), entryOf(state, CODEBOOK)); // [N]
    return tf.reshape(flat, zE.shape.slice(0, 3)); // [B, h, w]
  }

  function quantize(zE: tf.Tensor, state: Tensors): Quantized {
    const indices = assign(zE, state); // [B, h, w]
    const chosen = lookupCodes(indices, entryOf(state, CODEBOOK)); // [B, h, w, D]
    return {
      zQ: straightThrough(zE, chosen),
      indices,
      codebookLoss: pull(chosen, zE),
      commitmentLoss: pull(zE, chosen),
      counts: countCodes(tf.reshape<tf.Rank.R1>(indices, [-1]), codebookSize),
      statistics: {},
    };
  }

  return {
    name: "vq",
    initialState: (rng) =>
      prefixState(initialise({ "codebook.embedding": { shape, init: uniform(1 / codebookSize) } }, rng), "weight"),
    startFrom: ({ centroids }) => ({ [CODEBOOK]: centroids.slice() }),
    drawn: { spec: {}, draw: () => ({}) },
    quantize,
    assign,
    lookup: (tokens, state) => lookupCodes(tokens, entryOf(state, CODEBOOK)),
    updateState: () => ({}),
  };
}
