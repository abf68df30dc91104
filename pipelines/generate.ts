/** Prior → tokens → images. Any prior of the tokenizer will do: that is what the two-stage design is for. */
import { checkFingerprint, type TokenGrid } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { SAMPLE_BATCH, type Prior, type SampleRequest } from "../stage2-prior/index.ts";
import type { Tile, Tokenizer } from "../stage1-tokenizer/index.ts";
import { keepFrames } from "./film.ts";
import { toTiles } from "./sheets.ts";

type Asked = Omit<SampleRequest, "known" | "firstIndex" | "batchSize" | "onProgress">;

export interface GenerateOptions extends Asked {
  readonly tokenizer: Tokenizer;
  readonly prior: Prior;
  readonly reporter: Reporter;
  /** Whether to keep the grids of the first images while they are being uncovered. */
  readonly film?: boolean;
}

export interface Generated {
  readonly tokens: TokenGrid;
  /** One [H, W, 3] tile an image. */
  readonly tiles: readonly Tile[];
  /** Sampling and decoding, without loading. */
  readonly secondsPerImage: number;
  /** Grids of the first images, from early to done; none unless a film was asked for. */
  readonly frames: readonly TokenGrid[];
}

/** @throws mismatch (exit 4) if the prior learnt the tokens of another tokenizer; usage for what does not fit the prior. */
export async function generate(options: GenerateOptions): Promise<Generated> {
  const { tokenizer, prior, reporter, film = false, ...request } = options;
  const { count } = request;
  checkFingerprint(tokenizer.spec.fingerprint, prior.spec.fingerprint, `prior ${prior.directory}`);
  const start = performance.now();
  let sampled = 0;
  reporter.start(`sample ${prior.name}`, count * prior.spec.grid[0] * prior.spec.grid[1], {
    unitsPerStep: { count: 1, unit: "tokens" },
  });
  const onProgress = (newTokens: number): void => {
    reporter.progress((sampled += newTokens));
  };
  const { tokens, frames } = film
    ? await sampleFilmed(prior, request, onProgress)
    : { tokens: await prior.sample({ ...request, onProgress }), frames: [] };
  reporter.finish();
  const images = await tokenizer.decode(tokens);
  const secondsPerImage = (performance.now() - start) / 1000 / count;
  return { tokens, tiles: toTiles(images, tokenizer.spec.imageSize), secondsPerImage, frames };
}

/** The images that `sample` gives, in the same batches, the first of which is watched. */
async function sampleFilmed(
  prior: Prior,
  request: Asked,
  onProgress: (newTokens: number) => void,
): Promise<{ tokens: TokenGrid; frames: TokenGrid[] }> {
  const filmed = Math.min(request.count, SAMPLE_BATCH);
  const first = await keepFrames(prior.steps({ ...request, count: filmed }));
  onProgress(first.grid.tokens.length);
  if (filmed === request.count) return { tokens: first.grid, frames: first.frames };
  const rest = await prior.sample({ ...request, count: request.count - filmed, firstIndex: filmed, onProgress });
  const tokens = new Int32Array(first.grid.tokens.length + rest.tokens.length);
  tokens.set(first.grid.tokens);
  tokens.set(rest.tokens, first.grid.tokens.length);
  return { tokens: { tokens, shape: [request.count, ...prior.spec.grid] }, frames: first.frames };
}
