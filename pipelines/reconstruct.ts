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
import { toTiles } from "./generate.ts";

export interface ReconstructOptions {
  readonly tokenizer: Tokenizer;
  readonly records: AsyncIterable<ImageRecord>;
  /** Pairs kept for the sheet. */
  readonly tiles: number;
  readonly batchSize?: number;
  readonly onFailure: (failure: ImageFailure) => void;
  readonly signal?: AbortSignal;
}

export interface Reconstruction {
  readonly figures: TokenizerFigures;
  readonly originals: readonly Tile[];
  readonly reconstructions: readonly Tile[];
}

/** One pass over the records by the published graphs. @throws bad-input if none can be decoded. */
export async function reconstruct(options: ReconstructOptions): Promise<Reconstruction> {
  const { tokenizer, records, onFailure, batchSize = 16, signal } = options;
  const originals: Tile[] = [];
  const reconstructions: Tile[] = [];
  async function* passes(): AsyncGenerator<Reconstructed> {
    for await (const { images } of streamImages({
      records,
      preprocessing: tokenizer.preprocessing,
      batchSize,
      onFailure,
    })) {
      signal?.throwIfAborted();
      const grid = await tokenizer.encode(images);
      const decoded = await tokenizer.decode(grid);
      originals.push(...toTiles(images, tokenizer.spec.imageSize).slice(0, options.tiles - originals.length));
      reconstructions.push(
        ...toTiles(decoded, tokenizer.spec.imageSize).slice(0, options.tiles - reconstructions.length),
      );
      yield { originals: images, reconstructions: decoded, tokens: grid.tokens };
    }
  }
  const figures = await measureTokenizer(passes(), tokenizer.spec.codebookSize);
  return { figures, originals, reconstructions };
}
