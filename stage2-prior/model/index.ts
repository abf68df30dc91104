/** The network of an objective: the line where one is chosen. */
import type { PriorConfig } from "../config.ts";
import { objectives } from "../objectives/index.ts";
import type { LearntObjective } from "../signature.ts";
import type { Network } from "./network.ts";
import { createPixelCnn } from "./pixelcnn.ts";
import { createTransformer } from "./transformer.ts";
import type { TransformerSize } from "./weights.ts";

export type { Network } from "./network.ts";

export const sizeOfPrior = (config: PriorConfig): TransformerSize => ({
  ...config,
  causal: objectives[config.objective].sees === "upTo",
});

const transformer = (config: PriorConfig): Network => createTransformer(sizeOfPrior(config));

const networks: Readonly<Record<LearntObjective, (config: PriorConfig) => Network>> = {
  causal: transformer,
  masked: transformer,
  diffusion: transformer,
  pixelcnn: createPixelCnn,
};

export const networkOf = (config: PriorConfig): Network => networks[config.objective](config);
