/** The front door of token files: the boundary between the stages. */
export { FAILURES_FILE, INDEX_FILE, NO_LABEL, recordCrc } from "./format.ts";
export type { TokenFailure, TokenHeader, TokenIndex, TokenRecord } from "./format.ts";
export { openTokens, type TokenSet } from "./read.ts";
export {
  recoverShard,
  recoverTokens,
  type Loss,
  type RecoveredShard,
  type RecoveredTokens,
  type RecoverOptions,
} from "./recover.ts";
export { findPartials } from "./partial.ts";
export { createTokenWriter, type TokenWriter, type TokenWriterOptions } from "./write.ts";
