/**
 * The trained model's functions: what export traces and evaluation runs. `state` is always as `evaluationState` gives it. Knows no
 * training and no file.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { group, prefix } from "../../shared/nn/state.ts";
import { createContinuous, createDiscrete } from "../bottleneck/create-bottleneck.ts";
import type { TokenizerConfig } from "../config.ts";
import { decode, encode, encodeHidden } from "./convolutional.ts";
import { partsOf } from "./parts.ts";
import { toLevels, toUnit } from "./pixels.ts";

/**
 * The state as evaluation sees it: `ema/…` in place of `weight/…` where averages are kept; the rest, and the optimizer's part,
 * left out or as it is. Works on tensors and on arrays.
 */
export function evaluationState<T>(state: Readonly<Record<string, T>>): Record<string, T> {
  const weights = { ...group(state, "weight"), ...group(state, "ema") };
  return { ...prefix(weights, "weight"), ...prefix(group(state, "codebook"), "codebook") };
}

/** int32 levels [B, H, W, 3] → zE [B, h, w, encoderChannels]. */
export function imagesToZE(config: TokenizerConfig, state: Tensors, images: tf.Tensor): tf.Tensor {
  return encode(group(state, "weight"), toUnit(images), partsOf(config).size);
}

/** int32 levels [B, H, W, 3] → int32 tokens [B, h, w]. */
export function imagesToTokens(config: TokenizerConfig, state: Tensors, images: tf.Tensor): tf.Tensor {
  return createDiscrete(config).assign(imagesToZE(config, state, images), state);
}

/** int32 tokens [B, h, w] → int32 levels [B, H, W, 3]. */
export function tokensToImages(config: TokenizerConfig, state: Tensors, tokens: tf.Tensor): tf.Tensor {
  return latentMapToImages(config, state, createDiscrete(config).lookup(tokens, state));
}

/** int32 levels [B, H, W, 3] → latents [B, …latentShape], without noise. */
export function imagesToLatents(config: TokenizerConfig, state: Tensors, images: tf.Tensor): tf.Tensor {
  return createContinuous(config).latent(imagesToZE(config, state, images), state);
}

/** latents [B, …latentShape] → int32 levels [B, H, W, 3]. */
export function latentsToImages(config: TokenizerConfig, state: Tensors, latents: tf.Tensor): tf.Tensor {
  return latentMapToImages(config, state, createContinuous(config).fromLatent(latents, state));
}

/** int32 levels [B, H, W, 3] → features [B, hidden]: the encoder's last hidden map averaged over its positions. */
export function imagesToFeatures(config: TokenizerConfig, state: Tensors, images: tf.Tensor): tf.Tensor {
  return tf.mean(encodeHidden(group(state, "weight"), toUnit(images), partsOf(config).size), [1, 2]);
}

/** z [B, h, w, decoderChannels] → int32 levels [B, H, W, 3]. */
function latentMapToImages(config: TokenizerConfig, state: Tensors, z: tf.Tensor): tf.Tensor {
  const { size, reconstruction } = partsOf(config);
  return toLevels(reconstruction.toImages(decode(group(state, "weight"), z, size)));
}
