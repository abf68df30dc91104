/** Images → tokens → images, for looking and measuring. */
import {
  measureTokenizer,
  streamImages,
  type ImageFailure,
  type ImageRecord,
  type Reconstructed,
  type Tile,
  type Tokenizer,
  type TokenizerFigures,
} from "../stage1-tokenizer/index.ts";
import { toTiles } from "./sheets.ts";

export interface PassOptions {
  readonly tokenizer: Tokenizer;
  readonly records: AsyncIterable<ImageRecord>;
  readonly batchSize?: number;
  readonly onFailure: (failure: ImageFailure) => void;
  readonly signal?: AbortSignal;
}

export interface ReconstructOptions extends PassOptions {
  /** Pairs kept for the sheet. */
  readonly tiles: number;
}

export interface Reconstruction {
  readonly figures: TokenizerFigures;
  readonly originals: readonly Tile[];
  readonly reconstructions: readonly Tile[];
}

/** Every record once, encoded and decoded by the published graphs. @throws bad-input if none can be decoded. */
export async function* reconstructions(options: PassOptions): AsyncGenerator<Reconstructed> {
  const { tokenizer, records, onFailure, batchSize = 16, signal } = options;
  const { preprocessing, spec } = tokenizer;
  for await (const { images } of streamImages({ records, preprocessing, batchSize, onFailure })) {
    signal?.throwIfAborted();
    const grid = await tokenizer.encode(images);
    yield {
      originals: images,
      reconstructions: await tokenizer.decode(grid),
      size: spec.imageSize,
      tokens: grid.tokens,
    };
  }
}

/** One pass over the records. @throws bad-input if none can be decoded. */
export async function reconstruct(options: ReconstructOptions): Promise<Reconstruction> {
  const { tiles, tokenizer } = options;
  const kept = { originals: [] as Tile[], reconstructions: [] as Tile[] };
  async function* passes(): AsyncGenerator<Reconstructed> {
    for await (const batch of reconstructions(options)) {
      for (const side of ["originals", "reconstructions"] as const) {
        kept[side].push(...toTiles(batch[side], batch.size).slice(0, tiles - kept[side].length));
      }
      yield batch;
    }
  }
  const figures = await measureTokenizer(passes(), tokenizer.spec.codebookSize);
  return { figures, ...kept };
}
