/**
 * Ancestral sampling of absorbing diffusion: time runs from 1 (all open) to 0, and in every step chance alone decides which positions are
 * uncovered. Nothing is ranked and no token is taken back, so it follows the model's own distribution as the steps grow. Knows no network.
 *
 * Sources: Austin, Johnson, Ho, Tarlow, van den Berg, "Structured Denoising Diffusion Models in Discrete State-Spaces" (D3PM), NeurIPS
 * 2021, arXiv:2107.03006; Sahoo et al., "Simple and Effective Masked Diffusion Language Models" (MDLM), NeurIPS 2024, arXiv:2406.07524.
 */
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import type { Rng } from "../../shared/rng.ts";
import {
  checkInteger,
  checkLogits,
  drain,
  finished,
  start,
  type SampleOptions,
  type SampleSteps,
  type TokensToLogits,
} from "./sampler.ts";

export interface AncestralOptions extends SampleOptions<TokensToLogits> {
  /** S ≥ 1. The network is asked at most as often: not in a step that uncovers nothing. */
  readonly steps: number;
}

/** Runs `ancestralSteps` to its end. */
export const sampleAncestral = (options: AncestralOptions): Promise<TokenGrid> => drain(ancestralSteps(options));

/**
 * Fills the open positions of `count` grids. With α = 1 − t, a position still open at t = (S − i)/S is uncovered on the way to
 * t = (S − i − 1)/S with probability 1/(S − i): certainly in the last step.
 * @returns [count, h, w], every entry 0 … K−1
 * @throws usage or bad-input on options that make no sense
 * @throws mismatch if the network answers in another shape than [N, L, K]
 * @throws numerical on NaN or infinite logits, naming image and position
 */
export async function* ancestralSteps(options: AncestralOptions): SampleSteps {
  const { tokensToLogits, codebookSize, count, steps, signal } = options;
  const { tokens, grid, length, temperature, firstIndex, rngs, categorical } = start(options);
  checkInteger("steps", steps, 1);
  for (let step = 0; step < steps; step++) {
    signal?.throwIfAborted();
    const chosen = rngs.map((rng, image) =>
      choose(tokens.subarray(image * length, (image + 1) * length), 1 / (steps - step), rng),
    );
    if (chosen.some((positions) => positions.length > 0)) {
      const logits = await tokensToLogits(tokens); // [N, L, K]
      checkLogits(logits, [count, length, codebookSize]);
      rngs.forEach((rng, image) => {
        for (const position of chosen[image] ?? []) {
          const cell = image * length + position;
          const draw = { temperature, uniform: rng.uniform(), image: firstIndex + image, position };
          tokens[cell] = categorical.draw({ ...draw, logits, offset: cell * codebookSize });
        }
      });
    }
    yield { step: step + 1, steps, grid };
  }
  return finished(grid);
}

/** Each open position of one image, with the given probability. */
function choose(tokens: Int32Array, probability: number, rng: Rng): number[] {
  const positions: number[] = [];
  tokens.forEach((token, position) => {
    if (token === UNKNOWN && rng.uniform() < probability) positions.push(position);
  });
  return positions;
}
