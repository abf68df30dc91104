/**
 * Halton decoding: the order of positions is fixed beforehand and spreads each step's tokens evenly over the grid, so that tokens drawn at
 * once are far apart and say little about each other; a mask schedule says how many are drawn in each step. Knows no network.
 *
 * Source: Besnier, Chen, Hurych, Valle, Cord, "Halton Scheduler for Masked Generative Image Transformer", ICLR 2025, arXiv:2503.17076.
 */
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import { checkLogits, drain, finished, start, type SampleSteps } from "./sampler.ts";
import { checkSteps, planImages, type ScheduledOptions } from "./schedule.ts";

/** Runs `haltonSteps` to its end. */
export const sampleHalton = (options: ScheduledOptions): Promise<TokenGrid> => drain(haltonSteps(options));

/**
 * Fills the open positions of `count` grids in Halton order, known ones passed over. 32 steps are usual. A draw is keyed by its position.
 * @returns [count, h, w], every entry 0 … K−1
 * @throws usage or bad-input on options that make no sense
 * @throws mismatch if the network answers in another shape than [N, L, K]
 * @throws numerical on NaN or infinite logits, naming image and position
 */
export async function* haltonSteps(options: ScheduledOptions): SampleSteps {
  const { tokensToLogits, codebookSize, count, steps, schedule, signal } = options;
  const begun = start(options);
  const { tokens, grid, length, temperature, firstIndex, rngs, categorical } = begun;
  checkSteps(steps, length);
  const plans = planImages(begun, steps, schedule);
  const order = [...haltonOrder(options.grid).order];
  const queues = plans.map((_, image) => order.filter((position) => tokens[image * length + position] === UNKNOWN));
  const lastStep = Math.max(...plans.map((plan) => plan.length));
  for (let step = 0; step < lastStep; step++) {
    signal?.throwIfAborted();
    const logits = await tokensToLogits(tokens); // [N, L, K]
    checkLogits(logits, [count, length, codebookSize]);
    rngs.forEach((rng, image) => {
      for (const position of queues[image]?.splice(0, plans[image]?.[step] ?? 0) ?? []) {
        const cell = image * length + position;
        const uniform = rng.fork("token", position).uniform();
        const draw = { temperature, uniform, image: firstIndex + image, position };
        tokens[cell] = categorical.draw({ ...draw, logits, offset: cell * codebookSize });
      }
    });
    yield { step: step + 1, steps: lastStep, grid };
  }
  return finished(grid);
}

export interface HaltonOrder {
  /** [L] every position of the grid once, in raster numbering. */
  readonly order: Int32Array;
  /** Points of the sequence it took to meet every cell. */
  readonly points: number;
}

/**
 * The cells of an h×w grid in the order in which the points (φ₂(n), φ₃(n)), n = 1, 2, …, first fall into them: row ⌊φ₂·h⌋, column
 * ⌊φ₃·w⌋, where φ_b(n) mirrors the digits of n in base b at the point. In whole numbers, so that no cell's edge is a matter of
 * rounding.
 */
export function haltonOrder([height, width]: readonly [height: number, width: number]): HaltonOrder {
  const met = new Set<number>();
  let points = 0;
  while (met.size < height * width) {
    points++;
    met.add(mirroredCell(points, 2, height) * width + mirroredCell(points, 3, width));
  }
  return { order: Int32Array.from(met), points };
}

/** ⌊φ_base(n) · size⌋ */
function mirroredCell(n: number, base: number, size: number): number {
  let mirrored = 0;
  let denominator = 1;
  for (let rest = n; rest > 0; rest = Math.floor(rest / base)) {
    mirrored = mirrored * base + (rest % base);
    denominator *= base;
  }
  return Math.floor((mirrored * size) / denominator);
}
