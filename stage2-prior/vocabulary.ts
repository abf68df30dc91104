/**
 * The only place where model-side ids are made. Tokens are what a tokenizer wrote: 0 … K−1, or `UNKNOWN` where a function allows
 * it. Ids are what a prior's embedding tables are indexed by:
 *
 *     token ids  0 … K−1 the codes,    K  unknown: the mask of the masked prior, the start of the causal prior (never code 0)
 *     class ids  0 … C−1 the classes,  C  no class (an unconditional prior has C = 0 and so this one id, 0)
 *
 * Knows no model and no runtime. What is out of range is an error, never clamped.
 */
import { badInput } from "../shared/errors.ts";
import { UNKNOWN } from "../shared/tokens.ts";

/** The id of an unknown token: K. */
export const unknownId = (codebookSize: number): number => codebookSize;

/** Rows of a token embedding table: K codes and the unknown id. Logits have K columns: a special id cannot be sampled. */
export const tokenIdCount = (codebookSize: number): number => codebookSize + 1;

/** The class id that stands for "no class": C. */
export const nullClassId = (classCount: number): number => classCount;

/** Rows of a class embedding table: C classes and the null class. */
export const classIdCount = (classCount: number): number => classCount + 1;

/**
 * Ids of `tokens`, of any shape: codes keep their number, `UNKNOWN` becomes K.
 * @throws bad-input naming the first position that holds neither
 */
export function toIds(tokens: Int32Array, codebookSize: number): Int32Array {
  return tokens.map((token, position) =>
    token === UNKNOWN ? unknownId(codebookSize) : checkedId(token, { limit: codebookSize, position, kind: "token" }),
  );
}

/**
 * Inputs of the causal prior: each row shifted right by one, K in front, so that the logits at position t predict token t.
 * @param tokens [N, L], every one known
 * @returns ids [N, L]; the last token of a row predicts nothing and does not appear
 * @throws bad-input if a token is not 0 … K−1, or if rows of `length` do not fill `tokens`
 */
export function toCausalInputs(tokens: Int32Array, shape: { codebookSize: number; length: number }): Int32Array {
  const { codebookSize, length } = shape;
  if (!Number.isInteger(length) || length < 1 || tokens.length % length !== 0) {
    throw badInput({
      what: "tokens do not divide into rows",
      where: "causal inputs",
      expected: `a multiple of L = ${length} tokens`,
      got: String(tokens.length),
    });
  }
  const ids = new Int32Array(tokens.length); // [N, L]
  tokens.forEach((token, position) => {
    const id = checkedId(token, { limit: codebookSize, position, kind: "token" });
    if (position % length === 0) ids[position] = unknownId(codebookSize);
    if ((position + 1) % length !== 0) ids[position + 1] = id;
  });
  return ids;
}

/**
 * Class ids of `classes` [N]: classes keep their number, `UNKNOWN` (no class, or dropped for guidance) becomes C.
 * @throws bad-input naming the first image whose class is neither
 */
export function toClassIds(classes: Int32Array, classCount: number): Int32Array {
  return classes.map((label, position) =>
    label === UNKNOWN ? nullClassId(classCount) : checkedId(label, { limit: classCount, position, kind: "class" }),
  );
}

function checkedId(value: number, at: { limit: number; position: number; kind: "token" | "class" }): number {
  if (value >= 0 && value < at.limit) return value;
  throw badInput({
    what: `${at.kind} at position ${at.position} is out of range`,
    where: "vocabulary",
    expected: at.limit === 0 ? `no ${at.kind} at all` : `0 … ${at.limit - 1}`,
    got: String(value),
    todo:
      at.kind === "token"
        ? "Use tokens of the tokenizer this prior was trained on."
        : "Name a class this prior was trained with, or none.",
  });
}
