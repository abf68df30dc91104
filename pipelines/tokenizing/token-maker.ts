/**
 * Records → tokens, some records at a time: what one process does, or several do alike. Knows neither the source nor the token file. An image
 * gives the same tokens whatever batch it stands in.
 */
import { TesseraError } from "../../shared/errors.ts";
import {
  decodeImage,
  type ImageContent,
  type ImageRecord,
  readRecord,
  type Tokenizer,
} from "../../stage1-tokenizer/index.ts";

export interface ReadImage {
  readonly key: string;
  readonly label?: number;
  readonly content: ImageContent;
}

export interface TokenizedImage {
  readonly key: string;
  readonly label?: number;
  /** [h·w], in raster order */
  readonly tokens: Int32Array;
}

/** An image that cannot be read or decoded, and the sentence that says why. */
export interface LeftOut {
  readonly key: string;
  readonly reason: string;
}

export interface TokenMaker {
  /** As many batches under way keep it busy; more would only take memory. */
  readonly ahead: number;
  /**
   * @returns one outcome a record, in their order
   * @throws what is no fault of a single record
   */
  make(records: readonly ImageRecord[]): Promise<(TokenizedImage | LeftOut)[]>;
  dispose(): Promise<void>;
}

/** In this process: while one batch is encoded the next are read and decoded. The tokenizer remains the caller's. */
export function createTokenMaker(tokenizer: Tokenizer): TokenMaker {
  return {
    ahead: 3,
    make: async (records) => encodeImages(tokenizer, await readImages(records)),
    dispose: async () => undefined,
  };
}

export function readImages(records: readonly ImageRecord[]): Promise<(ReadImage | LeftOut)[]> {
  return Promise.all(
    records.map((record) => {
      const { key, label } = record;
      const read = async () => ({ key, ...(label === undefined ? {} : { label }), content: await readRecord(record) });
      return orLeftOut(key, read);
    }),
  );
}

/** What was left out before stays where it is. */
export async function encodeImages(
  tokenizer: Tokenizer,
  images: readonly (ReadImage | LeftOut)[],
): Promise<(TokenizedImage | LeftOut)[]> {
  const decoded = await Promise.all(
    images.map((image) => {
      if ("reason" in image) return image;
      const { content, ...name } = image;
      const decode = async () => ({ ...name, pixels: await decodeImage(content, tokenizer.preprocessing, image.key) });
      return orLeftOut(image.key, decode);
    }),
  );
  const good = decoded.filter((image) => "pixels" in image);
  const { tokens } = await tokenizer.encode(Buffer.concat(good.map(({ pixels }) => pixels))); // [B, H, W, 3] → [B, h, w]
  const length = tokens.length / good.length;
  let at = 0;
  return decoded.map((image) => {
    if ("reason" in image) return image;
    const { pixels: _pixels, ...name } = image;
    return { ...name, tokens: tokens.slice(at, (at += length)) };
  });
}

async function orLeftOut<Image>(key: string, make: () => Promise<Image>): Promise<Image | LeftOut> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof TesseraError && error.code === "bad-input") return { key, reason: error.message };
    throw error;
  }
}
