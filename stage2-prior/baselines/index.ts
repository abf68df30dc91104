/** All counting priors by name, from weakest to strongest; a new one is a line here. */
import type { FitCountingPrior } from "./counting-prior.ts";
import { fitMarkov2d } from "./markov2d.ts";
import { fitUniform } from "./uniform.ts";
import { fitUnigram } from "./unigram.ts";

export const COUNTING_PRIORS = {
  uniform: fitUniform,
  unigram: fitUnigram,
  markov2d: fitMarkov2d,
} as const satisfies Record<string, FitCountingPrior>;

export type CountingPriorName = keyof typeof COUNTING_PRIORS;
