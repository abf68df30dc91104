/** A tokenizer and one of its priors, open for as long as a command works with them. */
import { z } from "zod";

import { loadTokenizer, type Tokenizer } from "../stage1-tokenizer/index.ts";
import { loadPrior, type Prior } from "../stage2-prior/index.ts";
import { artifactPath } from "./artifacts.ts";
import { option } from "./options.ts";
import { checkPair, type SamplingOptions } from "./sampling.ts";

export const pairOptions = {
  tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
  prior: option(z.string().min(1), { describe: "Name or path of the prior", alias: "p" }),
};

export interface Pair {
  readonly tokenizer: Tokenizer;
  readonly prior: Prior;
}

/**
 * Both are disposed of, whatever happens. The dtype is the prior's: the tokenizer computes in float32.
 * @param names names or paths
 * @throws as `loadTokenizer` and `loadPrior`; mismatch if the prior learnt the tokens of another tokenizer
 */
export async function withPair<Result>(
  names: { readonly tokenizer: string; readonly prior: string },
  { dtype, processes, ...threads }: SamplingOptions,
  use: (pair: Pair) => Promise<Result>,
): Promise<Result> {
  const tokenizer = await loadTokenizer(artifactPath("tokenizer", names.tokenizer), threads);
  try {
    const prior = await loadPrior(artifactPath("prior", names.prior), { dtype, processes, ...threads });
    try {
      checkPair(tokenizer, prior);
      return await use({ tokenizer, prior });
    } finally {
      await prior.dispose();
    }
  } finally {
    await tokenizer.dispose();
  }
}
