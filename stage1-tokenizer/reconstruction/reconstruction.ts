/**
 * What a reconstruction loss is: from the decoder's output and the original to one number an image, and from the output to an image.
 * Knows no network and no bottleneck.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import type { tf } from "../../shared/engine/tf.ts";
import type { WeightSpecs } from "../../shared/nn/state.ts";

export interface Compared {
  /** [B, H, W, 3], −0.5 … 0.5 */
  readonly images: tf.Tensor;
  /** What the decoder gave, [B, H, W, 3]. */
  readonly output: tf.Tensor;
  /** The model's weights under their bare names; a leaf reads its own, `likelihood.…`. */
  readonly weights: Tensors;
}

export interface Reconstruction {
  readonly name: string;
  /** `perImage` is −log p(x | z) / (H·W·3) in nats. */
  readonly isLikelihood: boolean;
  /** Weights of its own, trained with the model's. */
  readonly specs: WeightSpecs;
  /** Loss of each image, averaged over its values: [B]. */
  perImage(compared: Compared): tf.Tensor;
  /** Decoder output → images [B, H, W, 3], −0.5 … 0.5 (not clamped). */
  toImages(output: tf.Tensor): tf.Tensor;
}
