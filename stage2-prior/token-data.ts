/** Token sets in memory, as training reads them: a batch is a function of its position. Knows no file and no model. */
import { badInput, mismatch } from "../shared/errors.ts";
import type { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { epochOrder } from "../shared/train/epochs.ts";
import type { PriorShape } from "./signature.ts";

export interface TokenData {
  /** [n, L] */
  readonly tokens: Int32Array;
  /** [n], −1 for none. */
  readonly labels: Int32Array;
  readonly keys: readonly string[];
  /** L */
  readonly length: number;
}

export interface TokenBatch {
  /** [B, L] */
  readonly tokens: Int32Array;
  /** [B], −1 for none. */
  readonly labels: Int32Array;
  readonly keys: readonly string[];
}

/** @throws bad-input if the set is empty, cut off or damaged. */
export async function loadTokenData(set: TokenSet): Promise<TokenData> {
  const { grid, keys, labels } = await set.load();
  if (keys.length === 0)
    throw badInput({ what: "the token set holds no image", where: set.directory, todo: "Tokenize images first." });
  return { tokens: grid.tokens, labels, keys, length: grid.shape[1] * grid.shape[2] };
}

/** Two sets that one prior is to learn and be measured on. @throws mismatch if they differ in tokenizer, grid, K or classes. */
export function checkSameTokens(training: TokenSet, heldOut: TokenSet): void {
  const describe = ({ header: { fingerprint, grid, codebookSize, classes } }: TokenSet): string =>
    `tokenizer ${fingerprint}, grid ${grid.join("×")}, K = ${codebookSize}, ${classes.length} classes`;
  if (
    describe(training) === describe(heldOut) &&
    training.header.classes.join("\0") === heldOut.header.classes.join("\0")
  )
    return;
  throw mismatch({
    what: "the held-out tokens are not of the same making as the training tokens",
    where: heldOut.directory,
    expected: describe(training),
    got: describe(heldOut),
  });
}

/** What is trained on and what is measured on. */
export interface TokenSplit {
  readonly training: TokenData;
  readonly heldOut: TokenData;
}

const HELD_OUT_SHARE = 0.05;

/**
 * Both sets in memory; the last 5 % of the training set are held out, at least one image, where there is no other set. A single image is both.
 * @throws mismatch if the held-out tokens are of another making; bad-input if a set is empty, cut off or damaged
 */
export async function loadSplit(sets: { training: TokenSet; heldOut?: TokenSet | undefined }): Promise<TokenSplit> {
  const all = await loadTokenData(sets.training);
  if (sets.heldOut !== undefined) {
    checkSameTokens(sets.training, sets.heldOut);
    return { training: all, heldOut: await loadTokenData(sets.heldOut) };
  }
  const cut = Math.max(1, Math.floor(all.keys.length * (1 - HELD_OUT_SHARE)));
  const range = (from: number, to: number): TokenData => ({
    ...takeRows(
      all,
      Array.from({ length: to - from }, (_, i) => from + i),
    ),
    length: all.length,
  });
  return { training: range(0, cut), heldOut: range(Math.min(cut, all.keys.length - 1), all.keys.length) };
}

/**
 * The labels of `set` are the classes of a prior: the same names, or no labels at all, or a prior that looks at none.
 * @throws mismatch if one number would name two classes
 */
export function checkSameClasses({ classes }: Pick<PriorShape, "classes">, { header, directory }: TokenSet): void {
  if (classes.length === 0 || header.classes.length === 0 || classes.join("\0") === header.classes.join("\0")) return;
  throw mismatch({
    what: "the labels of the token set are not the classes of the prior",
    where: directory,
    expected: classes.join(", "),
    got: header.classes.join(", "),
    todo: "Tokenize images of the same classes.",
  });
}

/** Rows `indices` of the data, one after another. */
export function takeRows({ tokens, labels, keys, length }: TokenData, indices: readonly number[]): TokenBatch {
  const rows = new Int32Array(indices.length * length);
  indices.forEach((index, i) => rows.set(tokens.subarray(index * length, (index + 1) * length), i * length));
  return {
    tokens: rows,
    labels: Int32Array.from(indices, (index) => labels[index] ?? -1),
    keys: indices.map((index) => keys[index] ?? String(index)),
  };
}

/** Batch `step` of the endless row of shuffled epochs. */
export function createTokenBatches(data: TokenData, batchSize: number, rng: Rng): (step: number) => TokenBatch {
  const order = epochOrder(data.keys.length, rng);
  return (step) =>
    takeRows(
      data,
      Array.from({ length: batchSize }, (_, i) => order(step * batchSize + i)),
    );
}
