/** The three parts of a tokenizer that a configuration chooses, and the sizes they must agree on. Knows no training and no file. */
import type { WeightSpecs } from "../../shared/nn/state.ts";
import type { Bottleneck } from "../bottleneck/bottleneck.ts";
import { createBottleneck } from "../bottleneck/create-bottleneck.ts";
import type { TokenizerConfig } from "../config.ts";
import { createReconstruction } from "../reconstruction/create-reconstruction.ts";
import type { Reconstruction } from "../reconstruction/reconstruction.ts";
import { modelSpecs, type ModelSize } from "./convolutional.ts";

export interface Parts {
  readonly bottleneck: Bottleneck;
  readonly reconstruction: Reconstruction;
  /** Of the convolutions on either side of the bottleneck. */
  readonly size: ModelSize;
  /** Every weight but the bottleneck's own. */
  readonly specs: WeightSpecs;
}

/** @param data variance of the training images, for a loss that is measured in it (`createReconstruction`) */
export function partsOf(config: TokenizerConfig, data?: { readonly dataVariance: number }): Parts {
  const bottleneck = createBottleneck(config);
  const reconstruction = createReconstruction(config, data);
  const { encoderChannels, decoderChannels } = bottleneck;
  const size = { ...config, encoderChannels, decoderChannels };
  return { bottleneck, reconstruction, size, specs: { ...modelSpecs(size), ...reconstruction.specs } };
}
