/**
 * The prior that knows how often each code occurs, and nothing of its neighbours. Its counts are one array [K].
 *
 * Source: Krichevsky & Trofimov, IEEE Trans. Inf. Theory 27 (1981): p(x) = (c(x) + ½) / (n + K/2).
 */
import { arraysOf, checkEntries } from "./check-counts.ts";
import { checkCountable, meanBits, type CountingLeaf } from "./counting-prior.ts";

export const unigram: CountingLeaf = {
  name: "unigram",
  description: "How often each code occurs, whatever stands beside it",
  count(grid, codebookSize) {
    checkCountable(grid, codebookSize);
    const count = new Int32Array(codebookSize);
    for (const token of grid.tokens) count[token] = (count[token] ?? 0) + 1;
    return { count };
  },
  restore(counts, codebookSize, where = "counts") {
    const { count } = arraysOf(counts, ["count"], where);
    checkEntries(count, { length: codebookSize, least: 0, most: Infinity }, `${where}: count`);
    const total = count.reduce((sum, seen) => sum + seen, codebookSize / 2);
    const probabilities = Float64Array.from(count, (seen) => (seen + 0.5) / total); // [K]
    return {
      name: "unigram",
      distribution: (_left, _upper, out) => {
        out.set(probabilities);
      },
      bitsPerToken: (held) => meanBits(held, codebookSize, (token) => probabilities[token] ?? 0),
      counts: () => counts,
    };
  },
};
