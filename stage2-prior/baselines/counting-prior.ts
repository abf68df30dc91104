/**
 * The interface of priors that only count, and the raster walk they share. They show what a network must beat: what cannot be
 * had from how often a token stands next to which. Knows no network and no file.
 */
import { badInput } from "../../shared/errors.ts";
import { checkTokens, type TokenGrid } from "../../shared/tokens.ts";
import type { CountingObjective } from "../signature.ts";

export interface CountingPrior {
  readonly name: CountingObjective;
  /**
   * Fills `out` [K] with p(token | left, upper): none is 0, and they sum to 1.
   * @param left the token before, `outside(K)` at the border; `upper` likewise the one above
   */
  distribution(left: number, upper: number, out: Float64Array): void;
  /**
   * Mean −log2 p(token) over all tokens of `grid`, in bits; finite for every token 0 … K−1, seen or not.
   * @throws bad-input if `grid` is empty or holds anything but codes
   */
  bitsPerToken(grid: TokenGrid): number;
  /** All that it counted: its leaf restores it from these exactly. To be read, not changed. */
  counts(): Counts;
}

/** Arrays by name. Where there are any, "count" says how often each thing was seen, and the others say what. */
export type Counts = Readonly<Record<string, Int32Array>>;

/** One way of counting. */
export interface CountingLeaf {
  readonly name: CountingObjective;
  /** A sentence for the model card. */
  readonly description: string;
  /** Counts the tokens of `grid` [count, h, w]. @throws bad-input if it is empty or holds anything but codes */
  count(grid: TokenGrid, codebookSize: number): Counts;
  /**
   * The prior that counted these.
   * @param where names their file in errors
   * @throws bad-input if an array is missing or unknown, or an entry is out of range
   */
  restore(counts: Counts, codebookSize: number, where?: string): CountingPrior;
}

/** A leaf's prior of the tokens of `grid`. @throws bad-input if it is empty or holds anything but codes */
export const fitCounting = (leaf: CountingLeaf, grid: TokenGrid, codebookSize: number): CountingPrior =>
  leaf.restore(leaf.count(grid, codebookSize), codebookSize);

/** A token with the one before it and the one above it; either is `outside(K)` at the border. */
export type VisitToken = (token: number, left: number, upper: number) => void;

/** What stands beyond the first row and column: its own context, K, and never a code. */
export const outside = (codebookSize: number): number => codebookSize;

/** What an int32 can count. */
const MOST = 2 ** 31 - 1;

/** @throws bad-input if `grid` is empty, holds anything but codes, or more of them than an int32 can count */
export function checkCountable(grid: TokenGrid, codebookSize: number): void {
  const { length } = grid.tokens;
  if (length === 0 || length > MOST) {
    const [what, expected] =
      length === 0 ? ["no tokens to count", "at least one image"] : ["too many tokens to count", `${MOST} at most`];
    throw badInput({ what, where: "counting prior", expected, got: String(length) });
  }
  checkTokens(grid, codebookSize, { where: "counting prior" });
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
