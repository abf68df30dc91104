/** The prior that knows only K: every code equally likely, log2 K bits. Counts nothing. */
import { arraysOf } from "./check-counts.ts";
import { checkCountable, type CountingLeaf } from "./counting-prior.ts";

export const uniform: CountingLeaf = {
  name: "uniform",
  description: "Every code equally likely: nothing is counted",
  count(grid, codebookSize) {
    checkCountable(grid, codebookSize);
    return {};
  },
  restore(counts, codebookSize, where = "counts") {
    arraysOf(counts, [], where);
    return {
      name: "uniform",
      distribution: (_left, _upper, out) => {
        out.fill(1 / codebookSize);
      },
      bitsPerToken: (held) => {
        checkCountable(held, codebookSize);
        return Math.log2(codebookSize);
      },
      counts: () => counts,
    };
  },
};
