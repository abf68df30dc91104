/** The images behind token sets: decoded from their tokens, or the originals where a source is given; and their features. */
import { badInput, mismatch } from "../shared/errors.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { checkTokensOf, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  describeImageFailure,
  type FeatureExtractor,
  type ImageFailure,
  type ImageRecord,
  type ImageSource,
  streamImages,
  type Tile,
  type Tokenizer,
} from "../stage1-tokenizer/index.ts";
import type { Vectors } from "../stage2-prior/index.ts";
import { toTiles } from "./sheets.ts";

/** Images held as pixels at a time. */
const BATCH = 32;

/** A token set in memory. */
export interface TokenImages {
  readonly grid: TokenGrid;
  /** One an image. */
  readonly keys: readonly string[];
}

export interface LabelledImages extends TokenImages {
  /** −1 for none. */
  readonly labels: Int32Array;
}

/** @throws mismatch if the tokens are not the tokenizer's; bad-input if there are none. */
export async function loadImages(set: TokenSet, spec: TokenizerSpec): Promise<LabelledImages> {
  const { header, directory } = set;
  checkTokensOf(spec, header, directory);
  const images = await set.load();
  if (images.keys.length > 0) return images;
  throw badInput({ what: "the token set holds no image", where: directory, todo: "Tokenize images first." });
}

/** Indices of at most `limit` of `count`, spread evenly: token sets are ordered by class. */
export function evenIndices(count: number, limit: number): number[] {
  const taken = Math.min(count, limit);
  return Array.from({ length: taken }, (_, i) => Math.floor((i * count) / taken));
}

export function takeImages({ grid, keys }: TokenImages, indices: readonly number[]): TokenImages {
  const [, height, width] = grid.shape;
  const length = height * width;
  const tokens = new Int32Array(indices.length * length); // [N, h, w]
  indices.forEach((index, i) => tokens.set(grid.tokens.subarray(index * length, (index + 1) * length), i * length));
  return { grid: { tokens, shape: [indices.length, height, width] }, keys: indices.map((index) => keys[index] ?? "") };
}

export interface ImageBatches {
  readonly keys: readonly string[];
  /** uint8 [N, H, W, 3] */
  readonly images: Uint8Array;
}

/** The images as the decoder gives them, in order. */
export async function* decodedImages(
  tokenizer: Tokenizer,
  all: TokenImages,
  signal: AbortSignal,
): AsyncGenerator<ImageBatches> {
  for (let start = 0; start < all.keys.length; start += BATCH) {
    signal.throwIfAborted();
    const indices = Array.from({ length: Math.min(BATCH, all.keys.length - start) }, (_, i) => start + i);
    const { grid, keys } = takeImages(all, indices);
    yield { keys, images: await tokenizer.decode(grid) };
  }
}

export interface Originals {
  readonly source: ImageSource;
  readonly tokenizer: Tokenizer;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/**
 * The images of these keys as the tokenizer would take them, in the source's order; those that cannot be decoded are warned of.
 * @throws mismatch if the source holds none of them
 */
export async function* originalImages(
  { source, tokenizer, reporter, signal }: Originals,
  keys: readonly string[],
): AsyncGenerator<ImageBatches> {
  const wanted = new Set(keys);
  let found = 0;
  async function* records(): AsyncGenerator<ImageRecord> {
    for await (const record of source.records()) {
      if (!wanted.has(record.key)) continue;
      found++;
      yield record;
    }
    if (found === 0) throw otherImages(source, keys);
  }
  const onFailure = (failure: ImageFailure): void => reporter.warn(describeImageFailure(failure));
  const { preprocessing } = tokenizer;
  for await (const batch of streamImages({ records: records(), preprocessing, batchSize: BATCH, onFailure })) {
    signal.throwIfAborted();
    yield batch;
  }
  if (found < wanted.size) reporter.warn(`${source.name} holds ${found} of the ${wanted.size} images asked for`);
}

function otherImages(source: ImageSource, keys: readonly string[]) {
  return mismatch({
    what: "the source holds none of the images that were tokenized",
    where: `--source ${source.name}`,
    expected: `images such as "${keys[0] ?? ""}"`,
    got: "other keys",
    todo: "Give the source that the tokens were made of",
  });
}

/** One tile an image, by key. */
export async function collectTiles(
  batches: AsyncIterable<ImageBatches>,
  size: readonly [height: number, width: number],
): Promise<Map<string, Tile>> {
  const tiles = new Map<string, Tile>();
  for await (const { keys, images } of batches) {
    for (const [i, tile] of toTiles(images, size).entries()) tiles.set(keys[i] ?? "", tile);
  }
  return tiles;
}

/** Features of all images, in order. @throws as `FeatureExtractor.extract` */
export async function collectFeatures(
  batches: AsyncIterable<ImageBatches>,
  extractor: FeatureExtractor,
): Promise<Vectors> {
  const parts: Float32Array[] = [];
  let size = 1;
  for await (const { images, keys } of batches) {
    const part = await extractor.extract(images, keys.length);
    parts.push(part.features);
    ({ size } = part);
  }
  const features = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0)); // [N, F]
  parts.reduce((offset, part) => (features.set(part, offset), offset + part.length), 0);
  return { features, size };
}
