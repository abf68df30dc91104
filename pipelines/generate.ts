/** Prior → tokens → images. Any prior of the tokenizer will do: that is what the two-stage design is for. */
import type { TokenGrid } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import type { Tile, Tokenizer } from "../stage1-tokenizer/index.ts";
import type { Prior } from "../stage2-prior/index.ts";
import { FRAMES } from "./film.ts";
import { checkPair, drawGrids, type DrawRequest } from "./sampling.ts";
import { toTiles } from "./sheets.ts";

export interface GenerateOptions extends Omit<DrawRequest, "known"> {
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
  checkPair(tokenizer, prior);
  const start = performance.now();
  const { tokens, frames } = await drawGrids(prior, request, { reporter, frames: film ? FRAMES : 0 });
  const images = await tokenizer.decode(tokens);
  const secondsPerImage = (performance.now() - start) / 1000 / request.count;
  return { tokens, tiles: toTiles(images, tokenizer.spec.imageSize), secondsPerImage, frames };
}
