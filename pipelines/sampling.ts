/** Token grids from a prior, in one process or several, with progress, and filmed on demand: what all commands that sample share. Knows no image. */
import { z } from "zod";

import { checkFingerprint, type TokenGrid } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import type { Tokenizer } from "../stage1-tokenizer/index.ts";
import { SAMPLE_BATCH, usualSampleProcesses, type Prior, type SampleRequest } from "../stage2-prior/index.ts";
import { graphOptions, type GraphOptions } from "./engines.ts";
import { keepFrames } from "./film.ts";
import { option } from "./options.ts";

export const processesOption = {
  processes: option(z.int().min(1).max(256).optional(), {
    describe: "Processes that sample and share the threads (default: by the number of images)",
  }),
};

/** How a prior that samples is opened. */
export interface SamplingOptions extends GraphOptions {
  readonly processes: number;
}

/** @param options of a command: what is filmed is sampled by the process that was called */
export const samplingOptions = ({
  count,
  film = false,
  processes,
  ...options
}: Parameters<typeof graphOptions>[0] & {
  readonly count: number;
  readonly film?: boolean;
  readonly processes?: number | undefined;
}): SamplingOptions => ({
  ...graphOptions(options),
  processes: processes ?? usualSampleProcesses(film ? count - SAMPLE_BATCH : count, options),
});

export type DrawRequest = Omit<SampleRequest, "firstIndex" | "batchSize" | "onProgress">;

export interface DrawnGrids {
  readonly tokens: TokenGrid;
  /** Grids of the first images, from early to done; none unless asked for. */
  readonly frames: readonly TokenGrid[];
}

/** @throws mismatch (exit 4) if the prior learnt the tokens of another tokenizer. */
export function checkPair(tokenizer: Tokenizer, prior: Prior): void {
  checkFingerprint(tokenizer.spec.fingerprint, prior.spec.fingerprint, `prior ${prior.directory}`);
}

/**
 * The images that `sample` gives, whether they are filmed or not.
 * @param frames grids to keep of the first batch, at most; 0 for none
 * @throws usage for what does not fit the prior
 */
export async function drawGrids(
  prior: Prior,
  request: DrawRequest,
  { reporter, frames }: { readonly reporter: Reporter; readonly frames: number },
): Promise<DrawnGrids> {
  let sampled = 0;
  reporter.start(`sample ${prior.name}`, request.count * prior.spec.grid[0] * prior.spec.grid[1], {
    unitsPerStep: { count: 1, unit: "tokens" },
  });
  const onProgress = (newTokens: number): void => {
    reporter.progress((sampled += newTokens));
  };
  const drawn =
    frames === 0
      ? { tokens: await prior.sample({ ...request, onProgress }), frames: [] }
      : await drawFilmed(prior, request, { frames, onProgress });
  reporter.finish();
  return drawn;
}

/** In the batches of `sample`, the first of which is watched. */
async function drawFilmed(
  prior: Prior,
  request: DrawRequest,
  { frames: most, onProgress }: { readonly frames: number; readonly onProgress: (newTokens: number) => void },
): Promise<DrawnGrids> {
  const { count, known } = request;
  const filmed = Math.min(count, SAMPLE_BATCH);
  const first = await keepFrames(prior.steps({ ...request, count: filmed, known: takeGrids(known, 0, filmed) }), most);
  onProgress(first.grid.tokens.length);
  if (filmed === count) return { tokens: first.grid, frames: first.frames };
  const own = { count: count - filmed, firstIndex: filmed, known: takeGrids(known, filmed, count) };
  const rest = await prior.sample({ ...request, ...own, onProgress });
  const tokens = new Int32Array(first.grid.tokens.length + rest.tokens.length);
  tokens.set(first.grid.tokens);
  tokens.set(rest.tokens, first.grid.tokens.length);
  return { tokens: { tokens, shape: [count, ...prior.spec.grid] }, frames: first.frames };
}

/** Grids `from` … `to` − 1 (views). */
function takeGrids(grids: TokenGrid | undefined, from: number, to: number): TokenGrid | undefined {
  if (grids === undefined) return undefined;
  const [, height, width] = grids.shape;
  const length = height * width;
  return { tokens: grids.tokens.subarray(from * length, to * length), shape: [to - from, height, width] };
}
