/** A prior small enough for the pure-JS backend: 4×4 tokens of 7 codes, two images a batch. */
import { Rng } from "../../shared/rng.ts";
import { priorConfig, type PriorConfig } from "../../stage2-prior/config.ts";
import type { TokenBatch } from "../../stage2-prior/token-data.ts";

export function tinyPrior(overrides: Readonly<Record<string, unknown>> = {}): PriorConfig {
  const size = { width: 16, layers: 2, heads: 2, feedForward: 24, codebookSize: 7, grid: [4, 4], classes: 3 };
  const training = { objective: "causal", batchSize: 2, steps: 40, warmupSteps: 2, learningRate: 1e-2, dropout: 0 };
  return priorConfig("emoji-small", { ...size, ...training, labelSmoothing: 0, labelDrop: 0, ...overrides });
}

/** Random tokens; labels go round through the classes. */
export function tinyTokens(config: PriorConfig, seed = 1): TokenBatch {
  const { batchSize, grid, codebookSize, classes } = config;
  const rng = Rng.fromSeed(seed);
  return {
    tokens: Int32Array.from({ length: batchSize * grid[0] * grid[1] }, () => rng.integer(codebookSize)),
    labels: Int32Array.from({ length: batchSize }, (_, i) => (classes === 0 ? -1 : i % classes)),
    keys: Array.from({ length: batchSize }, (_, i) => `image ${i}`),
  };
}
