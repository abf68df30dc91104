/** Next-token prediction in raster order: −Σ log p(x_t | x_<t). Every position counts. */
import { toCausalInputs } from "../vocabulary.ts";
import type { Objective } from "./objective.ts";

export const causal: Objective = {
  name: "causal",
  sees: "upTo",
  evaluationPasses: 1,
  smoothing: () => 0,
  prepare: (tokens, _rng, { config }) => ({
    ids: toCausalInputs(tokens, { codebookSize: config.codebookSize, length: config.grid[0] * config.grid[1] }),
    counted: new Float32Array(tokens.length).fill(1),
  }),
};
