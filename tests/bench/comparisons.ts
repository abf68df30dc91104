/** What is measured beside the peer in seconds, in the order it runs. */
import { INFERENCE } from "./inference.ts";
import { TOKENIZING } from "./tokenizing.ts";
import { TRAINING } from "./training.ts";
import type { Comparison } from "./work.ts";

export const COMPARISONS: readonly Comparison[] = [...TRAINING, ...INFERENCE, ...TOKENIZING];
