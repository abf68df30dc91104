/**
 * Every failure a user can meet, as a sentence: where, expected, got, what to do. Knows nothing of the command line but the
 * exit code each kind stands for.
 */

/** Exit codes of the command line; see README "When something goes wrong". */
export const EXIT_CODES = {
  failure: 1,
  usage: 2,
  "bad-input": 3,
  mismatch: 4,
  numerical: 5,
  interrupted: 130,
  terminated: 143,
} as const;

export type ErrorCode = keyof typeof EXIT_CODES;

export interface ErrorSentence {
  /** What went wrong, in one clause: "token file is cut off". */
  readonly what: string;
  /** File, field or argument it was found in. */
  readonly where?: string;
  readonly expected?: string;
  readonly got?: string;
  /** What the reader can do about it. */
  readonly todo?: string;
  readonly cause?: unknown;
}

/** An expected failure: printed as one sentence, without a stack trace, and mapped to `EXIT_CODES[code]`. */
export class TesseraError extends Error {
  override readonly name = "TesseraError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, sentence: ErrorSentence) {
    super(toSentence(sentence), sentence.cause === undefined ? undefined : { cause: sentence.cause });
    this.code = code;
  }

  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}

/** The caller asked for something that does not exist or does not fit together (exit 2). */
export const usageError = (sentence: ErrorSentence): TesseraError => new TesseraError("usage", sentence);
/** Input data is missing, malformed or damaged beyond use (exit 3). */
export const badInput = (sentence: ErrorSentence): TesseraError => new TesseraError("bad-input", sentence);
/** Two things that must belong together do not, or a digest is wrong (exit 4). */
export const mismatch = (sentence: ErrorSentence): TesseraError => new TesseraError("mismatch", sentence);
/** A loss or weight became NaN or infinite (exit 5). */
export const numericalError = (sentence: ErrorSentence): TesseraError => new TesseraError("numerical", sentence);
/** The environment failed us: disk, permissions, runtime (exit 1). */
export const failure = (sentence: ErrorSentence): TesseraError => new TesseraError("failure", sentence);

function toSentence({ what, where, expected, got, todo }: ErrorSentence): string {
  const place = where === undefined ? "" : `${where}: `;
  const contrast =
    expected === undefined && got === undefined
      ? ""
      : ` (${[expected === undefined ? "" : `expected ${expected}`, got === undefined ? "" : `got ${got}`].filter(Boolean).join(", ")})`;
  const advice = todo === undefined ? "" : ` ${todo}${/[.!?]$/.test(todo) ? "" : "."}`;
  return printable(`${place}${what}${contrast}.${advice}`);
}

/** Control characters as "\u001b": names and bytes out of files are quoted, and none may break a line or command the terminal. */
export const printable = (text: string): string =>
  text.replaceAll(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Asserts an internal invariant; a failure is a bug of ours, not bad input. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`Internal invariant broken: ${message}`);
}
