/** Picture → tokens → the same with a share of them drawn anew, and again: other pictures like it. */
import { UNKNOWN, type TokenGrid } from "../shared/tokens.ts";
import type { Rng } from "../shared/rng.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { decodeImage, type Picture, type Tile, type Tokenizer } from "../stage1-tokenizer/index.ts";
import { drawsInRasterOrder, type DecodingOptions, type Prior } from "../stage2-prior/index.ts";
import { FRAMES } from "./film.ts";
import { checkPair, drawGrids } from "./sampling.ts";
import { toTiles } from "./sheets.ts";

export interface VariationsOptions {
  readonly tokenizer: Tokenizer;
  readonly prior: Prior;
  readonly decoding: DecodingOptions;
  readonly picture: Picture;
  /** Variation i depends on (rng, i), not on how many there are. */
  readonly count: number;
  /** Share of the tokens drawn anew, above 0, at most 1. */
  readonly strength: number;
  readonly rng: Rng;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal;
  /** Whether to keep the grids of the first variations while they are being uncovered. */
  readonly film?: boolean;
}

export interface Variations {
  /** As the tokenizer takes it. */
  readonly original: Tile;
  readonly reconstruction: Tile;
  readonly tiles: readonly Tile[];
  /** [count, h, w], `UNKNOWN` where tokens were drawn. */
  readonly known: TokenGrid;
  /** [count, h, w] */
  readonly tokens: TokenGrid;
  /** Encoding, sampling and decoding, without loading. */
  readonly secondsPerImage: number;
  /** Grids of the first variations, from early to done; none unless a film was asked for. */
  readonly frames: readonly TokenGrid[];
}

/**
 * @throws bad-input (exit 3) if the picture cannot be decoded; usage for what does not fit the prior; mismatch (exit 4) if it learnt the
 *   tokens of another tokenizer
 */
export async function variations(options: VariationsOptions): Promise<Variations> {
  const { tokenizer, prior, decoding, picture, count, strength, rng, reporter, signal, film = false } = options;
  checkPair(tokenizer, prior);
  const pixels = await decodeImage(picture.bytes, tokenizer.preprocessing, picture.path);
  const start = performance.now();
  const encoded = await tokenizer.encode(pixels); // [1, h, w]
  const choose = drawsInRasterOrder(prior.spec) ? lastPositions : randomPositions;
  const known = openCopies(encoded, count, (i) =>
    choose(encoded.tokens.length, { strength, rng: rng.fork("open", i) }),
  );
  const request = { ...decoding, count, known, rng: rng.fork("draw"), ...(signal !== undefined && { signal }) };
  const { tokens, frames } = await drawGrids(prior, request, { reporter, frames: film ? FRAMES : 0 });
  const tiles = toTiles(await tokenizer.decode(tokens), tokenizer.spec.imageSize);
  const secondsPerImage = (performance.now() - start) / 1000 / count;
  const [height, width] = tokenizer.spec.imageSize;
  return {
    original: { pixels, height, width },
    reconstruction: { pixels: await tokenizer.decode(encoded), height, width },
    ...{ tiles, known, tokens, secondsPerImage, frames },
  };
}

interface Share {
  readonly strength: number;
  readonly rng: Rng;
}

/** Positions to open, at least one: any ones. */
export const randomPositions = (length: number, { strength, rng }: Share): Int32Array =>
  rng.permutation(length).subarray(0, openCount(length, strength));

/** Positions to open, at least one: the last of the raster, for priors that can only go on from what stands before. */
export function lastPositions(length: number, { strength }: Pick<Share, "strength">): Int32Array {
  const open = openCount(length, strength);
  return Int32Array.from({ length: open }, (_, i) => length - open + i);
}

const openCount = (length: number, strength: number): number => Math.max(1, Math.round(strength * length));

/** @param one [1, h, w] @returns [count, h, w] */
function openCopies({ tokens, shape }: TokenGrid, count: number, positions: (i: number) => Int32Array): TokenGrid {
  const copies = new Int32Array(count * tokens.length);
  for (let i = 0; i < count; i++) {
    const copy = copies.subarray(i * tokens.length, (i + 1) * tokens.length);
    copy.set(tokens);
    for (const position of positions(i)) copy[position] = UNKNOWN;
  }
  return { tokens: copies, shape: [count, shape[1], shape[2]] };
}
