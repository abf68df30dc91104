/**
 * What a quantizer is: the step from continuous zE to one of K codes per position. Leaves are `vq.ts` and `vq-ema.ts`;
 * `create-quantizer.ts` chooses. Knows no encoder, no decoder and no optimizer.
 *
 * Worked example: zE [16, 32, 32, 32] (16 images, 32×32 positions, D = 32) and a codebook [512, 32] give indices
 * [16, 32, 32] in 0 … 511 and zQ [16, 32, 32, 32], whose rows are the chosen codebook rows.
 */
import type { Arrays, Signature, Tensors } from "../../shared/engine/engine.ts";
import type { tf } from "../../shared/engine/tf.ts";
import type { InitialState } from "../../shared/nn/state.ts";
import type { Rng } from "../../shared/rng.ts";
import type { Clusters } from "./k-means.ts";

export interface QuantizerSize {
  /** K */
  readonly codebookSize: number;
  /** D */
  readonly codeDimension: number;
}

export interface Quantized {
  /** [B, h, w, D]: the chosen codes; backward, the gradient passes to zE unchanged. */
  readonly zQ: tf.Tensor;
  /** int32 [B, h, w], 0 … K−1. */
  readonly indices: tf.Tensor;
  /** What pulls codes to zE by gradient, mean ‖sg(zE) − zQ‖² per element; 0 where codes learn without a gradient. Scalar. */
  readonly codebookLoss: tf.Tensor;
  /** What pulls zE to its code, mean ‖zE − sg(zQ)‖² per element, unweighted. Scalar. */
  readonly commitmentLoss: tf.Tensor;
  /** float32 [K]: positions of the batch assigned to each code. */
  readonly counts: tf.Tensor;
  /** What `updateState` needs of this batch; without gradient. */
  readonly statistics: Tensors;
}

/** All methods but the first three are pure functions of tensors; `state` is the whole flat state, of which each reads its own part. */
export interface Quantizer {
  readonly name: string;

  /** The state entries it owns: `weight/codebook.…` if trained by gradient, `codebook/…` otherwise. */
  initialState(rng: Rng): InitialState;

  /** New values of those entries that start the codebook at `clusters` of encoder outputs. */
  startFrom(clusters: Clusters): Arrays;

  /** What one step draws on the host and hands in with the batch: names, shapes, and the draw itself. */
  readonly drawn: { readonly spec: Signature; draw: (rng: Rng) => Arrays };

  /** zE [B, h, w, D] → codes, losses and statistics; `batch` holds the entries of `drawn`. */
  quantize(zE: tf.Tensor, state: Tensors, batch: Tensors): Quantized;

  /** zE [B, h, w, D] → int32 [B, h, w]: `quantize`'s indices alone. */
  assign(zE: tf.Tensor, state: Tensors): tf.Tensor;

  /** int32 tokens [B, h, w] → their codes [B, h, w, D]. */
  lookup(tokens: tf.Tensor, state: Tensors): tf.Tensor;

  /** New values of all its `codebook/…` entries, after a step whose assignment used the old ones. */
  updateState(state: Tensors, statistics: Tensors): Tensors;
}
