/** A tokenizer small enough for the pure-JS backend: 8×8 px to 4×4 tokens. */
import type { TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import { tokenizerConfig } from "../../stage1-tokenizer/presets.ts";

export function tinyConfig(overrides: Readonly<Record<string, unknown>>): TokenizerConfig {
  const small = { imageSize: 8, hidden: 8, residualHidden: 4, residualLayers: 1, codebookSize: 8, codeDimension: 4 };
  return tokenizerConfig("emoji64", {
    ...small,
    batchSize: 2,
    steps: 100,
    learningRate: 0.003,
    schedule: "constant",
    codebookEmaDecay: 0.9,
    ...overrides,
  });
}
