/** What held-out images cost in all: by a tokenizer and a prior, with loss, and as lossless files. */
import { sizeOf } from "../shared/records.ts";
import type { TokenizerSpec } from "../shared/tokens.ts";
import { losslessBytes, measureTokenizer, type Reconstructed, type Tokenizer } from "../stage1-tokenizer/index.ts";
import { toTiles } from "./sheets.ts";
import { originalImages, type Originals } from "./judged-images.ts";

export interface CodeLength {
  readonly name: string;
  /** Bits an image / (H · W · 3). */
  readonly bitsPerDim: number;
  readonly lossless: boolean;
  /** What reconstruction leaves, in dB; Infinity where nothing is lost. */
  readonly psnr: number;
}

export interface LosslessLengths {
  /** N, that could be decoded. */
  readonly images: number;
  readonly png: CodeLength;
  readonly webp: CodeLength;
  /** PSNR of the tokenizer on the same images. */
  readonly psnr: number;
}

/** L / (H · W · 3): tokens for each value of an image. */
export const tokensPerDim = ({ grid, imageSize }: TokenizerSpec): number => sizeOf(grid) / (sizeOf(imageSize) * 3);

/** One pass over the originals of `keys`, as preprocessed. @throws as `originalImages` */
export async function measureLossless(originals: Originals, keys: readonly string[]): Promise<LosslessLengths> {
  const { spec } = originals.tokenizer;
  const bytes = { png: 0, webp: 0 };
  let images = 0;
  async function* pass(): AsyncGenerator<Reconstructed> {
    for await (const batch of originalImages(originals, keys)) {
      for (const tile of toTiles(batch.images, spec.imageSize)) {
        const { png, webp } = await losslessBytes(tile);
        bytes.png += png;
        bytes.webp += webp;
        images++;
      }
      yield await reconstructed(originals.tokenizer, batch.images);
    }
  }
  const { psnr } = await measureTokenizer(pass(), spec.codebookSize);
  const lengthOf = (name: string, total: number): CodeLength => ({
    name,
    bitsPerDim: (8 * total) / (images * sizeOf(spec.imageSize) * 3),
    lossless: true,
    psnr: Infinity,
  });
  return { images, png: lengthOf("PNG", bytes.png), webp: lengthOf("WebP, lossless", bytes.webp), psnr };
}

async function reconstructed(tokenizer: Tokenizer, originals: Uint8Array): Promise<Reconstructed> {
  const grid = await tokenizer.encode(originals);
  const reconstructions = await tokenizer.decode(grid);
  return { originals, reconstructions, size: tokenizer.spec.imageSize, tokens: grid.tokens };
}
