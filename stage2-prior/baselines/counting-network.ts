/** A counting prior as the network that the causal sampler asks: log p instead of logits. Knows no leaf. */
import type { CausalTokensToLogits } from "../sample/sampler.ts";
import { createHistory } from "../sample/history.ts";
import { outside, type CountingPrior } from "./counting-prior.ts";

export interface CountingNetworkOptions {
  readonly codebookSize: number;
  /** [h, w] */
  readonly grid: readonly [height: number, width: number];
  /** N */
  readonly count: number;
}

/** A fresh network for one decoding of N images: it keeps the tokens so far. */
export function createCountingNetwork(prior: CountingPrior, options: CountingNetworkOptions): CausalTokensToLogits {
  const { codebookSize, grid, count } = options;
  const [height, width] = grid;
  const length = height * width;
  const remember = createHistory({ count, length });
  const border = outside(codebookSize);
  const probabilities = new Float64Array(codebookSize);
  return async (previous) => {
    const { tokens, position } = remember(previous);
    const logits = new Float32Array(count * codebookSize); // [N, K]
    for (let image = 0; image < count; image++) {
      const cell = image * length + position;
      const left = position % width === 0 ? border : (tokens[cell - 1] ?? border);
      const upper = position < width ? border : (tokens[cell - width] ?? border);
      prior.distribution(left, upper, probabilities);
      probabilities.forEach((p, token) => (logits[image * codebookSize + token] = Math.log(p)));
    }
    return logits;
  };
}
