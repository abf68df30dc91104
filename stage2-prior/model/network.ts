/** What a prior's network is to training and export: weights declared once, and a pure function of weights and ids. Knows no objective. */
import type { Tensors } from "../../shared/engine/engine.ts";
import type { tf } from "../../shared/engine/tf.ts";
import type { WeightSpecs } from "../../shared/nn/state.ts";

export interface NetworkInput {
  /** int32 [N, L], 0 … K (K = unknown) */
  readonly ids: tf.Tensor;
  /** int32 [N], 0 … C (C = null); ignored where there are no classes */
  readonly classIds: tf.Tensor;
}

/** Masks [N, L, M] by site (`dropout.<site>`); none while evaluating. */
export interface Dropout {
  readonly masks: Tensors;
  readonly rate: number;
}

export interface Network {
  /** The start of a sentence: kind and size. */
  readonly description: string;
  readonly specs: WeightSpecs;
  readonly dropoutSites: readonly string[];
  /** @returns logits [N, L, K] */
  forward(weights: Tensors, input: NetworkInput, options?: { readonly dropout?: Dropout }): tf.Tensor;
}
