/**
 * The prior that knows how often each code occurs, and nothing of its neighbours.
 *
 * Source: Krichevsky & Trofimov, IEEE Trans. Inf. Theory 27 (1981): p(x) = (c(x) + ½) / (n + K/2).
 */
import type { TokenGrid } from "../../shared/tokens.ts";
import { checkCountable, drawGrids, meanBits, type CountingPrior } from "./counting-prior.ts";

/** @throws bad-input if `grid` is empty or holds anything but codes */
export function fitUnigram(grid: TokenGrid, codebookSize: number): CountingPrior {
  checkCountable(grid, codebookSize);
  const counts = new Float64Array(codebookSize);
  for (const token of grid.tokens) counts[token] = (counts[token] ?? 0) + 1;
  const total = grid.tokens.length + codebookSize / 2;
  const probabilities = counts.map((count) => (count + 0.5) / total); // [K]
  let sum = 0;
  const cumulative = probabilities.map((probability) => (sum += probability)); // [K]
  return {
    name: "unigram",
    bitsPerToken: (held) => meanBits(held, codebookSize, (token) => probabilities[token] ?? 0),
    sample: (options) =>
      drawGrids(options, codebookSize, (rng) => {
        const target = rng.uniform() * sum;
        return cumulative.findIndex((upTo) => upTo > target);
      }),
  };
}
