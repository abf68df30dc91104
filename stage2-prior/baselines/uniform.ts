/** The prior that knows only K: every code equally likely, log2 K bits. Counts nothing. */
import { checkCountable, drawGrids, type CountingPrior } from "./counting-prior.ts";
import type { TokenGrid } from "../../shared/tokens.ts";

/** @throws bad-input if `grid` is empty or holds anything but codes */
export function fitUniform(grid: TokenGrid, codebookSize: number): CountingPrior {
  checkCountable(grid, codebookSize);
  return {
    name: "uniform",
    bitsPerToken: (held) => {
      checkCountable(held, codebookSize);
      return Math.log2(codebookSize);
    },
    sample: (options) => drawGrids(options, codebookSize, (rng) => rng.integer(codebookSize)),
  };
}
