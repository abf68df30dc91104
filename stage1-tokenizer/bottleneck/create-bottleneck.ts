/** The one place where a bottleneck is chosen by its name in the configuration. */
import { invariant } from "../../shared/errors.ts";
import { gridOf, imageValuesOf, type TokenizerConfig } from "../config.ts";
import type { Bottleneck, ContinuousBottleneck, DiscreteBottleneck } from "./bottleneck.ts";
import { createFsq } from "./fsq.ts";
import { createGaussian, createGaussianVector } from "./gaussian.ts";
import { createGumbel } from "./gumbel.ts";
import { createNone } from "./none.ts";
import { createReinforce } from "./reinforce.ts";
import { createStSoftmax } from "./st-softmax.ts";
import { createVqEma } from "./vq-ema.ts";
import { createVq } from "./vq.ts";

export function createBottleneck(config: TokenizerConfig): Bottleneck {
  const grid = gridOf(config);
  const imageValues = imageValuesOf(config);
  const batchTokens = config.batchSize * grid[0] * grid[1];
  switch (config.bottleneck) {
    case "vq":
      return createVq(config);
    case "vq-ema":
      return createVqEma({ ...config, decay: config.codebookEmaDecay, batchTokens });
    case "st-softmax":
      return createStSoftmax(config);
    case "gumbel":
      return createGumbel({ ...config, batchTokens, imageValues });
    case "reinforce":
      return createReinforce({ ...config, batchTokens });
    case "fsq":
      return createFsq(config);
    case "gaussian":
      return createGaussian({ ...config, grid, imageValues });
    case "gaussian-vector":
      return createGaussianVector({ ...config, grid, imageValues });
    case "none":
      return createNone({ ...config, grid });
    default:
      return config.bottleneck satisfies never;
  }
}

/** For callers that need tokens. @throws Error (a bug of the caller) for a continuous one */
export function createDiscrete(config: TokenizerConfig): DiscreteBottleneck {
  const bottleneck = createBottleneck(config);
  invariant(bottleneck.kind === "discrete", `${bottleneck.name} makes no tokens`);
  return bottleneck;
}

/** For callers that need latents. @throws Error (a bug of the caller) for a discrete one */
export function createContinuous(config: TokenizerConfig): ContinuousBottleneck {
  const bottleneck = createBottleneck(config);
  invariant(bottleneck.kind === "continuous", `${bottleneck.name} makes tokens`);
  return bottleneck;
}
