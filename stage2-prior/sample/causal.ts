/**
 * Causal decoding: one token after the other in raster order, each drawn from p(token | those before it). Known tokens are kept
 * and fed to the network like drawn ones. Knows no network and keeps no cache; the network's closure does.
 */
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import {
  checkLogits,
  drain,
  finished,
  start,
  type CausalTokensToLogits,
  type SampleOptions,
  type SampleSteps,
} from "./sampler.ts";

export type CausalOptions = SampleOptions<CausalTokensToLogits>;

/** Runs `causalSteps` to its end. */
export const sampleCausal = (options: CausalOptions): Promise<TokenGrid> => drain(causalSteps(options));

/**
 * Fills the open positions of `count` grids. A draw depends on (seed, image, position) and on the image's earlier tokens alone;
 * so decoding goes on from a known prefix exactly as if it had drawn that prefix itself.
 * @returns [count, h, w], every entry 0 … K−1
 * @throws usage or bad-input on options that make no sense
 * @throws mismatch if the network answers in another shape than [N, K]
 * @throws numerical on NaN or infinite logits, naming image and position
 */
export async function* causalSteps(options: CausalOptions): SampleSteps {
  const { tokensToLogits, codebookSize, count, signal } = options;
  const { tokens, grid, length, temperature, firstIndex, rngs, categorical } = start(options);
  let fed = 0; // positions whose preceding token the network has seen
  for (let position = 0; position < length; position++) {
    signal?.throwIfAborted();
    if (rngs.some((_, image) => tokens[image * length + position] === UNKNOWN)) {
      const logits = await tokensToLogits(previousTokens(tokens, length, { from: fed, to: position })); // [N, K]
      checkLogits(logits, [count, codebookSize]);
      fed = position + 1;
      rngs.forEach((rng, image) => {
        if (tokens[image * length + position] !== UNKNOWN) return;
        const draw = {
          temperature,
          uniform: rng.fork("token", position).uniform(),
          image: firstIndex + image,
          position,
        };
        tokens[image * length + position] = categorical.draw({ ...draw, logits, offset: image * codebookSize });
      });
    }
    yield { step: position + 1, steps: length, grid };
  }
  return finished(grid);
}

/** The token before each of the positions `from … to`, both included: [N, to − from + 1]. Nothing stands before position 0. */
function previousTokens(tokens: Int32Array, length: number, range: { from: number; to: number }): Int32Array {
  const width = range.to - range.from + 1;
  const previous = new Int32Array((tokens.length / length) * width);
  for (let i = 0; i < previous.length; i++) {
    const position = range.from + (i % width);
    previous[i] = position === 0 ? UNKNOWN : (tokens[Math.floor(i / width) * length + position - 1] ?? UNKNOWN);
  }
  return previous;
}
