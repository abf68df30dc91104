/**
 * The trained tokenizer's functions: what export traces and evaluation runs. Knows no training and no file.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import type { tf } from "../../shared/engine/tf.ts";
import { group, prefix } from "../../shared/nn/state.ts";
import type { TokenizerConfig } from "../config.ts";
import { createQuantizer } from "../quantizer/create-quantizer.ts";
import { decode, encode } from "./convolutional.ts";
import { toLevels, toUnit } from "./pixels.ts";

/**
 * The state as evaluation sees it: `ema/…` in place of `weight/…` where averages are kept; the rest, and the optimizer's part,
 * left out or as it is. Works on tensors and on arrays.
 */
export function evaluationState<T>(state: Readonly<Record<string, T>>): Record<string, T> {
  const weights = { ...group(state, "weight"), ...group(state, "ema") };
  return { ...prefix(weights, "weight"), ...prefix(group(state, "codebook"), "codebook") };
}

/** int32 levels [B, H, W, 3] → zE [B, h, w, D]: the points for the k-means start. */
export function imagesToZE(config: TokenizerConfig, state: Tensors, images: tf.Tensor): tf.Tensor {
  return encode(group(state, "weight"), toUnit(images), config);
}

/** int32 levels [B, H, W, 3] → int32 tokens [B, h, w]. `state` as `evaluationState` gives it. */
export function imagesToTokens(config: TokenizerConfig, state: Tensors, images: tf.Tensor): tf.Tensor {
  return createQuantizer(config).assign(imagesToZE(config, state, images), state);
}

/** int32 tokens [B, h, w] → int32 levels [B, H, W, 3]. `state` as `evaluationState` gives it. */
export function tokensToImages(config: TokenizerConfig, state: Tensors, tokens: tf.Tensor): tf.Tensor {
  const zQ = createQuantizer(config).lookup(tokens, state); // [B, h, w, D]
  return toLevels(decode(group(state, "weight"), zQ, config));
}
