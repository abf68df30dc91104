/**
 * Absorbing-state discrete diffusion: hide m of L tokens, m uniform on 1 … L, predict them from the rest. The mean of −log p over the hidden ones
 * is, in expectation, an upper bound on −log p(image) / L, in nats a token: L of those means sum up an ordering of the tokens, each predicted
 * from those before it, and the expectation is over all orderings.
 *
 * Source: Hoogeboom et al. 2022, "Autoregressive Diffusion Models" (arXiv:2110.02037), section 3; it is the continuous-time bound of absorbing
 * diffusion with a linear schedule (Sahoo et al. 2024, arXiv:2406.07524; Shi et al. 2024, arXiv:2406.04329) with the time integrated out.
 * m is drawn by strata, one for each row, as in Kingma et al. 2021, "Variational Diffusion Models" (arXiv:2107.00630).
 */
import { checkTokens, UNKNOWN } from "../../shared/tokens.ts";
import { toIds } from "../vocabulary.ts";
import { hiddenPositions } from "./hidden-positions.ts";
import type { Objective } from "./objective.ts";

export const diffusion: Objective = {
  name: "diffusion",
  sees: "all",
  // Bits a token differ much between a hidden one of L and L hidden ones: with one draw an image, small sets would be measured coarsely.
  evaluationPasses: 4,
  // A smoothed loss is no bound.
  smoothing: () => 0,
  prepare(tokens, rng, { config, place }) {
    const length = config.grid[0] * config.grid[1];
    const rows = tokens.length / length;
    const { first, of } = place ?? { first: 0, of: rows };
    // Before hiding: a wrong id that is hidden would be a target that no logit answers, and cost nothing.
    checkTokens({ tokens, shape: [rows, ...config.grid] }, config.codebookSize, { where: "diffusion batch" });
    const shown = tokens.slice();
    const counted = new Float32Array(tokens.length);
    for (let row = 0; row < rows; row++) {
      const draw = rng.fork("mask", row);
      const u = (first + row + draw.uniform()) / of; // in the row's own stratum of 0 … 1
      const hidden = hiddenPositions(length, 1 + Math.floor(u * length), draw); // [m]
      for (const position of hidden) {
        shown[row * length + position] = UNKNOWN;
        counted[row * length + position] = 1 / hidden.length; // each image weighs 1
      }
    }
    return { ids: toIds(shown, config.codebookSize), counted };
  },
};
