/**
 * Masked token modelling: hide a share of the tokens, predict them from the rest, both ways.
 *
 * Source: Chang et al. 2022, "MaskGIT" (arXiv:2202.04200), section 3.2: the ratio γ(u) for u uniform, the loss on hidden positions only, label
 * smoothing 0.1.
 */
import { checkTokens, UNKNOWN } from "../../shared/tokens.ts";
import { maskSchedule } from "../mask-schedule.ts";
import { toIds } from "../vocabulary.ts";
import { hiddenPositions } from "./hidden-positions.ts";
import type { Objective } from "./objective.ts";

export const masked: Objective = {
  name: "masked",
  sees: "all",
  evaluationPasses: 1,
  smoothing: ({ labelSmoothing }) => labelSmoothing,
  prepare(tokens, rng, { config, mode }) {
    const length = config.grid[0] * config.grid[1];
    // Before masking: a wrong id under the mask would be a target that no logit answers, and cost nothing.
    checkTokens({ tokens, shape: [tokens.length / length, ...config.grid] }, config.codebookSize, { where: "masked batch" }); // prettier-ignore
    const schedule = maskSchedule(config.maskSchedule);
    const shown = tokens.slice();
    const counted = new Float32Array(tokens.length);
    for (let row = 0; row * length < tokens.length; row++) {
      const draw = rng.fork("mask", row);
      const ratio =
        mode === "evaluation" ? schedule.meanRatio : Math.max(config.maskFloor ?? 0, schedule.ratio(draw.uniform()));
      for (const position of hiddenPositions(length, Math.ceil(ratio * length), draw)) {
        shown[row * length + position] = UNKNOWN;
        counted[row * length + position] = 1;
      }
    }
    return { ids: toIds(shown, config.codebookSize), counted };
  },
};
