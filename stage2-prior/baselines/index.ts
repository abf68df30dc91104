/** All counting priors by name; a new one is a line here. */
import type { CountingObjective } from "../signature.ts";
import type { CountingLeaf } from "./counting-prior.ts";
import { markov2d } from "./markov2d.ts";
import { uniform } from "./uniform.ts";
import { unigram } from "./unigram.ts";

export const COUNTING_PRIORS = { uniform, unigram, markov2d } as const satisfies Record<
  CountingObjective,
  CountingLeaf
>;
