/**
 * The interface of priors that only count, and the raster walk they share. They show what a network must beat: what cannot be
 * had from how often a token stands next to which. Knows no network and no runtime.
 */
import { badInput } from "../../shared/errors.ts";
import type { Rng } from "../../shared/rng.ts";
import { checkTokens, type TokenGrid } from "../../shared/tokens.ts";

export interface CountingPrior {
  readonly name: string;
  /**
   * Mean −log2 p(token) over all tokens of `grid`, in bits; finite for every token 0 … K−1, seen or not.
   * @throws bad-input if `grid` is empty or holds anything but codes
   */
  bitsPerToken(grid: TokenGrid): number;
  /** `count` new grids; image i draws from `rng.fork("image", i)` and nothing else. */
  sample(options: CountingSampleOptions): TokenGrid;
}

export interface CountingSampleOptions {
  readonly count: number;
  /** [h, w] */
  readonly grid: readonly [height: number, width: number];
  readonly rng: Rng;
}

/** Counts the tokens of `grid` [count, h, w]. @throws bad-input if it is empty or holds anything but codes */
export type FitCountingPrior = (grid: TokenGrid, codebookSize: number) => CountingPrior;

/** A token with the one before it and the one above it; either is `outside(K)` at the border. */
export type VisitToken = (token: number, left: number, upper: number) => void;

/** What stands beyond the first row and column: its own context, K, and never a code. */
export const outside = (codebookSize: number): number => codebookSize;

/** @throws bad-input if `grid` is empty or holds anything but codes */
export function checkCountable(grid: TokenGrid, codebookSize: number): void {
  checkTokens(grid, codebookSize, { where: "counting prior" });
  if (grid.tokens.length > 0) return;
  throw badInput({ what: "no tokens to count", where: "counting prior", expected: "at least one image", got: "none" });
}

/** Calls `visit` for every token, image by image in raster order. */
export function visitTokens(grid: TokenGrid, codebookSize: number, visit: VisitToken): void {
  const [count, height, width] = grid.shape;
  const { tokens } = grid;
  const border = outside(codebookSize);
  for (let row = 0, cell = 0; row < count * height; row++) {
    for (let column = 0; column < width; column++, cell++) {
      const left = column === 0 ? border : (tokens[cell - 1] ?? border);
      const upper = row % height === 0 ? border : (tokens[cell - width] ?? border);
      visit(tokens[cell] ?? border, left, upper);
    }
  }
}

/** Mean −log2 p over all tokens. @throws bad-input if `grid` is empty or holds anything but codes */
export function meanBits(
  grid: TokenGrid,
  codebookSize: number,
  probability: (token: number, left: number, upper: number) => number,
): number {
  checkCountable(grid, codebookSize);
  let bits = 0;
  visitTokens(grid, codebookSize, (token, left, upper) => {
    bits -= Math.log2(probability(token, left, upper));
  });
  return bits / grid.tokens.length;
}

/** Grids drawn token by token in raster order from p(token | left, upper). */
export function drawGrids(
  { count, grid: [height, width], rng }: CountingSampleOptions,
  codebookSize: number,
  draw: (rng: Rng, left: number, upper: number) => number,
): TokenGrid {
  const grid: TokenGrid = { tokens: new Int32Array(count * height * width), shape: [count, height, width] };
  const streams = Array.from({ length: count }, (_, image) => rng.fork("image", image));
  let cell = 0;
  visitTokens(grid, codebookSize, (_, left, upper) => {
    const stream = streams[Math.floor(cell / (height * width))] ?? rng;
    grid.tokens[cell++] = draw(stream, left, upper);
  });
  return grid;
}
