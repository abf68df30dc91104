/**
 * The next token in raster order, as `causal.ts`, for a network that by its construction sees only what is before a position: its inputs are the
 * tokens themselves, not moved. Every position counts.
 */
import { checkTokens } from "../../shared/tokens.ts";
import { toIds } from "../vocabulary.ts";
import type { Objective } from "./objective.ts";

export const pixelcnn: Objective = {
  name: "pixelcnn",
  sees: "before",
  evaluationPasses: 1,
  smoothing: () => 0,
  prepare(tokens, _rng, { config: { grid, codebookSize } }) {
    // Inputs may be unknown while sampling, targets never.
    checkTokens({ tokens, shape: [tokens.length / (grid[0] * grid[1]), ...grid] }, codebookSize, { where: "pixelcnn batch" }); // prettier-ignore
    return { ids: toIds(tokens, codebookSize), counted: new Float32Array(tokens.length).fill(1) };
  },
};
