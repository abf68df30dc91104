/**
 * What the samplers share: the two kinds of network function they decode with, their options, and the grid they start from.
 * Knows no runtime: a network is a function from tokens to logits. Guidance is a wrapper around that function. A sampler is an
 * async generator: it yields after every step and may be left there.
 */
import { invariant, mismatch, usageError } from "../../shared/errors.ts";
import type { Rng } from "../../shared/rng.ts";
import { checkTokens, UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import { Categorical, type Truncation } from "./categorical.ts";

/**
 * Masked network: what stands at every position, given what is known of each grid.
 * @param tokens [N, L] in raster order, `UNKNOWN` where open; to be read, not kept
 * @returns logits [N, L, K]
 */
export type TokensToLogits = (tokens: Int32Array) => Promise<Float32Array>;

/**
 * Causal network: what stands at the next position. Made for one decoding of N = `count` images: it remembers what it was given
 * (its KV cache), so every token is passed once.
 * @param previous [N, T] the token before each of the next T positions, `UNKNOWN` before the very first. T > 1 where tokens are
 *   already known.
 * @returns logits [N, K] of the last of these T positions
 */
export type CausalTokensToLogits = (previous: Int32Array) => Promise<Float32Array>;

export interface SampleProgress {
  /** Steps done, 1 … `steps`. */
  readonly step: number;
  readonly steps: number;
  /** The grids so far, `UNKNOWN` where open. A live view: copy what must outlast the step. */
  readonly grid: TokenGrid;
}

/** Yields after every step; returns [N, h, w], every entry 0 … K−1. */
export type SampleSteps = AsyncGenerator<SampleProgress, TokenGrid, undefined>;

export interface SampleOptions<Network> extends Truncation {
  readonly tokensToLogits: Network;
  /** K */
  readonly codebookSize: number;
  /** [h, w] */
  readonly grid: readonly [height: number, width: number];
  /** N, images decoded side by side. */
  readonly count: number;
  /** Number of the first image (0): image i of all is the same whatever the batches were. */
  readonly firstIndex?: number | undefined;
  /** [count, h, w], `UNKNOWN` where to fill; what is known is kept. Nothing known if left out. */
  readonly known?: TokenGrid | undefined;
  /** Image i draws from `rng.fork("image", firstIndex + i)` and from nothing else. */
  readonly rng: Rng;
  /** Divides the logits (1); 0 takes the most likely token. */
  readonly temperature?: number | undefined;
  /** Looked at between steps; the sampler throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Checked options, with the grids to fill. */
export interface Start {
  /** [N, L]: the known tokens, else `UNKNOWN`; the sampler's own copy. */
  readonly tokens: Int32Array;
  /** The same array as a grid. */
  readonly grid: TokenGrid;
  /** L = h·w */
  readonly length: number;
  readonly temperature: number;
  readonly firstIndex: number;
  /** One stream per image. */
  readonly rngs: readonly Rng[];
  readonly categorical: Categorical;
}

/**
 * @throws usage if a size, index, temperature or truncation makes no sense or `known` has another shape
 * @throws bad-input if a known token is not of the codebook
 */
export function start(options: SampleOptions<unknown>): Start {
  const { codebookSize, count, known, rng } = options;
  const [height, width] = options.grid;
  const { firstIndex = 0, temperature = 1, topK, topP } = options;
  checkInteger("count", count, 1);
  checkInteger("codebookSize", codebookSize, 1);
  checkInteger("grid height", height, 1);
  checkInteger("grid width", width, 1);
  checkInteger("firstIndex", firstIndex, 0);
  checkNonNegative("temperature", temperature);
  if (topK !== undefined) checkInteger("topK", topK, 1);
  if (topP !== undefined) checkShare("topP", topP);
  if (known !== undefined) checkKnown(known, [count, height, width], codebookSize);
  const length = height * width;
  const tokens = known === undefined ? new Int32Array(count * length).fill(UNKNOWN) : known.tokens.slice(); // [N, L]
  return {
    tokens,
    grid: { tokens, shape: [count, height, width] },
    length,
    temperature,
    firstIndex,
    rngs: Array.from({ length: count }, (_, image) => rng.fork("image", firstIndex + image)),
    categorical: new Categorical(codebookSize, { topK, topP }),
  };
}

/** @throws usage unless `value` is finite and ≥ 0 */
export function checkNonNegative(where: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return;
  throw usageError({
    what: "not a number a sampler can use",
    where,
    expected: "a finite number ≥ 0",
    got: String(value),
  });
}

/** @throws mismatch if a network answers in another shape than the sampler was told to expect */
export function checkLogits(logits: Float32Array, shape: readonly number[]): void {
  const expected = shape.reduce((product, size) => product * size, 1);
  if (logits.length === expected) return;
  throw mismatch({
    what: "logits have another shape",
    where: "tokensToLogits",
    expected: `[${shape.join(", ")}] = ${expected} numbers`,
    got: String(logits.length),
    todo: "The prior must have been made for this codebook size, grid and batch.",
  });
}

/** A sampler's last word: every position holds a code. */
export function finished(grid: TokenGrid): TokenGrid {
  invariant(!grid.tokens.includes(UNKNOWN), "a sampler left a position open");
  return grid;
}

/** Runs a sampler to its end. @returns [N, h, w], every entry 0 … K−1 */
export async function drain(steps: SampleSteps): Promise<TokenGrid> {
  for (;;) {
    const { done, value } = await steps.next();
    if (done === true) return value;
  }
}

/** @throws usage unless `value` is an integer ≥ `minimum` */
export function checkInteger(where: string, value: number, minimum: number): void {
  if (Number.isSafeInteger(value) && value >= minimum) return;
  throw usageError({
    what: "not a number a sampler can use",
    where,
    expected: `an integer ≥ ${minimum}`,
    got: String(value),
  });
}

function checkShare(where: string, value: number): void {
  if (value > 0 && value <= 1) return;
  throw usageError({
    what: "not a number a sampler can use",
    where,
    expected: "a number above 0, at most 1",
    got: String(value),
  });
}

/**
 * @throws usage if known tokens have another shape than the images to sample
 * @throws bad-input if one is not of the codebook
 */
export function checkKnown(known: TokenGrid, shape: readonly number[], codebookSize: number): void {
  if (known.shape.some((size, axis) => size !== shape[axis])) {
    throw usageError({
      what: "known tokens have another shape than the images to sample",
      where: "known",
      expected: `[${shape.join(", ")}]`,
      got: `[${known.shape.join(", ")}]`,
    });
  }
  checkTokens(known, codebookSize, { where: "known", allowUnknown: true });
}
