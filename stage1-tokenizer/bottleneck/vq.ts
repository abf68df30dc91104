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
import type { Bottled, CodebookSize, DiscreteBottleneck } from "./bottleneck.ts";
import { checkChannels, countCodes, detachedRows, lookupCodes, nearestCodes, onSphere, pull } from "./nearest.ts";

export interface VqOptions extends CodebookSize {
  /** β: weight of ‖zE − sg(e)‖². */
  readonly commitmentWeight: number;
  /** zE and codes are brought to length 1 before they are compared and used. */
  readonly normalizeCodes: boolean;
}

const CODEBOOK = "weight/codebook.embedding";

export function createVq({ codebookSize, codeDimension, commitmentWeight, normalizeCodes }: VqOptions) {
  const shape = [codebookSize, codeDimension];
  const points = (x: tf.Tensor): tf.Tensor => (normalizeCodes ? onSphere(x) : x);
  const codes = (state: Tensors): tf.Tensor => points(entryOf(state, CODEBOOK)); // [K, D]

  const nearest = (z: tf.Tensor, state: Tensors): tf.Tensor =>
    tf.reshape(nearestCodes(detachedRows(z, codeDimension), codes(state)), z.shape.slice(0, 3)); // [B, h, w]

  function forward(zE: tf.Tensor, state: Tensors): Bottled {
    checkChannels(zE, codeDimension);
    const z = points(zE); // [B, h, w, D]
    const indices = nearest(z, state); // [B, h, w]
    const chosen = lookupCodes(indices, codes(state)); // [B, h, w, D]
    return {
      z: straightThrough(z, chosen),
      terms: {
        codebookLoss: { value: pull(chosen, z), weight: 1 },
        commitmentLoss: { value: pull(z, chosen), weight: commitmentWeight },
      },
      statistics: { counts: countCodes(indices, codebookSize) },
      metrics: {},
    };
  }

  return {
    kind: "discrete",
    name: "vq",
    codebookSize,
    encoderChannels: codeDimension,
    decoderChannels: codeDimension,
    initialState: (rng) =>
      prefixState(initialise({ "codebook.embedding": { shape, init: uniform(1 / codebookSize) } }, rng), "weight"),
    drawn: { spec: {}, draw: () => ({}) },
    forward,
    assign: (zE, state) => nearest(points(zE), state),
    lookup: (tokens, state) => lookupCodes(tokens, codes(state)),
    kMeansStart: {
      codeDimension,
      points,
      startFrom: ({ centroids }) => ({ [CODEBOOK]: centroids.slice() }),
    },
    updateState: () => ({}),
  } as const satisfies DiscreteBottleneck;
}
