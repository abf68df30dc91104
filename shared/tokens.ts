/**
 * What crosses between the stages: token grids and the specification of the tokenizer that made them. Knows no runtime.
 */
import { badInput, mismatch } from "./errors.ts";

/** A position whose token is not known (yet). Never an id of the codebook; legal only where a function says so. */
export const UNKNOWN = -1;

/** `count` grids of h×w codebook indices in raster order. */
export interface TokenGrid {
  /** Int32Array of length count·h·w; entries 0 … K−1, or `UNKNOWN`. */
  readonly tokens: Int32Array;
  /** [count, h, w] */
  readonly shape: readonly [count: number, height: number, width: number];
}

/** Everything stage 2 may know about a tokenizer. */
export interface TokenizerSpec {
  /** sha256 (hex) over the encoder graph's bytes and the preprocessing record. */
  readonly fingerprint: string;
  /** K, the number of codes. */
  readonly codebookSize: number;
  /** [h, w] of the token grid. */
  readonly grid: readonly [height: number, width: number];
  /** [H, W] of the images. */
  readonly imageSize: readonly [height: number, width: number];
}

/**
 * Checks that every token of `grid` is an id below K (or `UNKNOWN` where `allowUnknown`).
 * @throws bad-input naming the first offending position. Ids are never clamped.
 */
export function checkTokens(
  grid: TokenGrid,
  codebookSize: number,
  options: { where: string; allowUnknown?: boolean },
): void {
  const [count, height, width] = grid.shape;
  if (grid.tokens.length !== count * height * width) {
    throw badInput({
      what: "token array does not fill its shape",
      where: options.where,
      expected: `${count}×${height}×${width} = ${count * height * width} tokens`,
      got: String(grid.tokens.length),
    });
  }
  for (let i = 0; i < grid.tokens.length; i++) {
    const token = grid.tokens[i] ?? UNKNOWN;
    if ((token >= 0 && token < codebookSize) || (token === UNKNOWN && options.allowUnknown === true)) continue;
    throw badInput({
      what: `token ${i} is not an id of the codebook`,
      where: options.where,
      expected: `0 … ${codebookSize - 1}`,
      got: String(token),
      todo: "Tokens must come from the tokenizer they are used with.",
    });
  }
}

/** Refuses tokens or priors of another tokenizer. @throws mismatch printing both fingerprints. */
export function checkFingerprint(expected: string, got: string, where: string): void {
  if (expected === got) return;
  throw mismatch({
    what: "belongs to another tokenizer",
    where,
    expected: `tokenizer fingerprint ${expected}`,
    got,
    todo: "Use the tokenizer it was made with, or tokenize and train again.",
  });
}

/** Refuses what says it is of this tokenizer and has another grid or K. @throws mismatch, as `checkFingerprint` */
export function checkTokensOf(
  tokenizer: Omit<TokenizerSpec, "imageSize">,
  got: Omit<TokenizerSpec, "imageSize">,
  where: string,
): void {
  checkFingerprint(tokenizer.fingerprint, got.fingerprint, where);
  const describe = ({ grid, codebookSize }: Omit<TokenizerSpec, "imageSize">): string =>
    `grid ${grid.join("×")}, K = ${codebookSize}`;
  if (describe(tokenizer) === describe(got)) return;
  throw mismatch({
    what: "does not fit the tokens of this tokenizer",
    where,
    expected: describe(tokenizer),
    got: describe(got),
  });
}
