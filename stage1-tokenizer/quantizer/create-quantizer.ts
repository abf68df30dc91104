/** The one place where a quantizer is chosen by its name in the configuration. */
import { gridOf, type TokenizerConfig } from "../config.ts";
import type { Quantizer } from "./quantizer.ts";
import { createVqEma } from "./vq-ema.ts";
import { createVq } from "./vq.ts";

export function createQuantizer(config: TokenizerConfig): Quantizer {
  const { quantizer, codebookSize, codeDimension } = config;
  const [height, width] = gridOf(config);
  switch (quantizer) {
    case "vq":
      return createVq({ codebookSize, codeDimension });
    case "vq-ema":
      return createVqEma({
        codebookSize,
        codeDimension,
        decay: config.codebookEmaDecay,
        revivalThreshold: config.revivalThreshold,
        batchTokens: config.batchSize * height * width,
      });
    default:
      return quantizer satisfies never;
  }
}
