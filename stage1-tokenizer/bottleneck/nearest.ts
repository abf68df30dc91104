/** Nearest-code search and counting, shared by the leaves. Nothing here carries a gradient but `lookupCodes`, `onSphere` and the losses. */
import { tf } from "../../shared/engine/tf.ts";
import { invariant } from "../../shared/errors.ts";
import { stopGradient } from "../../shared/nn/gradients.ts";

/** @throws Error (a bug of the model) unless zE is [B, h, w, channels]. */
export function checkChannels(zE: tf.Tensor, channels: number): void {
  invariant(
    zE.rank === 4 && zE.shape[3] === channels,
    `zE must have shape [B, h, w, ${channels}], got [${zE.shape.join(", ")}]`,
  );
}

/** zE [B, h, w, D] → [N, D], N = B·h·w, cut from the gradient. */
export function detachedRows(zE: tf.Tensor, dimension: number): tf.Tensor2D {
  checkChannels(zE, dimension);
  return tf.reshape(stopGradient(zE), [-1, dimension]);
}

/** x / ‖x‖ along the last axis (l2-normalised codes: Yu et al., "Vector-quantized Image Modeling with Improved VQGAN", 2021, section 3.2). */
export function onSphere(x: tf.Tensor): tf.Tensor {
  return tf.div(x, tf.sqrt(tf.add(tf.sum(tf.square(x), -1, true), 1e-12)));
}

/** Index of the nearest code (squared Euclidean distance; the lowest wins a tie): rows [N, D], codebook [K, D] → int32 [N]. */
export function nearestCodes(rows: tf.Tensor2D, codebook: tf.Tensor): tf.Tensor1D {
  const codes = stopGradient(codebook) as tf.Tensor2D;
  const norms = tf.sum(tf.square(codes), 1); // [K]
  const products = tf.matMul(rows, tf.mul(codes, -2), false, true); // [N, K]; the norms are added within the product
  return tf.argMin(tf.add(products, norms), 1); // ‖z − e‖² less ‖z‖², which is the same for every code
}

/** int32 [B, h, w] → float32 [K]: how often each code was chosen. */
export function countCodes(indices: tf.Tensor, codebookSize: number): tf.Tensor1D {
  const flat = tf.reshape<tf.Rank.R1>(indices, [-1]);
  return tf.unsortedSegmentSum(tf.ones([indices.size]), flat, codebookSize);
}

/** int32 [B, h, w], codebook [K, D] → [B, h, w, D]. */
export function lookupCodes(tokens: tf.Tensor, codebook: tf.Tensor): tf.Tensor {
  const flat = tf.reshape<tf.Rank.R1>(tokens, [-1]); // [N]
  return tf.reshape(tf.gather(codebook as tf.Tensor2D, flat), [...tokens.shape, codebook.shape[1] ?? 0]);
}

/** mean ‖moving − sg(target)‖² per element: scalar, with a gradient for `moving` only. */
export function pull(moving: tf.Tensor, target: tf.Tensor): tf.Tensor {
  return tf.mean(tf.square(tf.sub(moving, stopGradient(target))));
}
