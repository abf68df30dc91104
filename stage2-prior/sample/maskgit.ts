/**
 * MaskGIT decoding: all open positions are drawn at once, the most confident draws are kept, the rest is masked again and drawn
 * anew with more context; a mask schedule says how many are kept in each step. Knows no network.
 *
 * Source: Chang, Zhang, Jiang, Liu, Freeman, "MaskGIT: Masked Generative Image Transformer", CVPR 2022, arXiv:2202.04200, §3.2.
 */
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import { checkNonNegative, checkLogits, drain, finished, start, type SampleSteps, type Start } from "./sampler.ts";
import { checkSteps, planImages, type ScheduledOptions } from "./schedule.ts";

export interface MaskgitOptions extends ScheduledOptions {
  /**
   * Noise on the choice of what to keep (4.5): confidence = log p(drawn) + choiceTemperature · (1 − r) · Gumbel, where r rises to 1
   * at the last step. 0 keeps the most likely draws.
   */
  readonly choiceTemperature?: number | undefined;
}

/** Runs `maskgitSteps` to its end. */
export const sampleMaskgit = (options: MaskgitOptions): Promise<TokenGrid> => drain(maskgitSteps(options));

/**
 * Fills the open positions of `count` grids. 8 to 12 steps are usual.
 * @returns [count, h, w], every entry 0 … K−1
 * @throws usage or bad-input on options that make no sense
 * @throws mismatch if the network answers in another shape than [N, L, K]
 * @throws numerical on NaN or infinite logits, naming image and position
 */
export async function* maskgitSteps(options: MaskgitOptions): SampleSteps {
  const { tokensToLogits, codebookSize, count, steps, schedule, signal, choiceTemperature = 4.5 } = options;
  const begun = start(options);
  const { tokens, grid, length } = begun;
  checkNonNegative("choiceTemperature", choiceTemperature);
  checkSteps(steps, length);
  const plans = planImages(begun, steps, schedule);
  const lastStep = Math.max(...plans.map((plan) => plan.length));
  const drawer: Drawer = { ...begun, codebookSize, choiceTemperature };
  for (let step = 0; step < lastStep; step++) {
    signal?.throwIfAborted();
    const logits = await tokensToLogits(tokens); // [N, L, K]
    checkLogits(logits, [count, length, codebookSize]);
    plans.forEach((plan, image) => {
      const keep = plan[step];
      if (keep === undefined) return;
      const candidates = drawOpenPositions(drawer, { image, logits, progress: (step + 1) / plan.length });
      for (const { position, token } of candidates.sort(mostConfidentFirst).slice(0, keep)) {
        tokens[image * length + position] = token;
      }
    });
    yield { step: step + 1, steps: lastStep, grid };
  }
  return finished(grid);
}

interface Candidate {
  readonly position: number;
  readonly token: number;
  readonly confidence: number;
}

interface Drawer extends Start {
  readonly codebookSize: number;
  readonly choiceTemperature: number;
}

/** Highest confidence first; of equals, the one that comes first in raster order. */
const mostConfidentFirst = (a: Candidate, b: Candidate): number =>
  b.confidence - a.confidence || a.position - b.position;

/** A draw and its confidence for every open position of one image. */
function drawOpenPositions(drawer: Drawer, at: { image: number; logits: Float32Array; progress: number }): Candidate[] {
  const { tokens, length, codebookSize, temperature, firstIndex, rngs, categorical } = drawer;
  const { image, logits, progress } = at;
  const rng = rngs[image];
  const candidates: Candidate[] = [];
  for (let position = 0; rng !== undefined && position < length; position++) {
    const cell = image * length + position;
    if (tokens[cell] !== UNKNOWN) continue;
    const draw = { temperature, uniform: rng.uniform(), image: firstIndex + image, position };
    const token = categorical.draw({ ...draw, logits, offset: cell * codebookSize });
    const noise = drawer.choiceTemperature * (1 - progress) * rng.gumbel();
    candidates.push({ position, token, confidence: categorical.logProbability + noise });
  }
  return candidates;
}
