/**
 * Records → tokens, some records at a time: what one process does, or several do alike. Knows neither the source nor the token file. An image
 * gives the same tokens whatever batch it stands in.
 */
import { TesseraError } from "../../shared/errors.ts";
import {
  decodeImage,
  type ImageContent,
  type ImageRecord,
  type Preprocessing,
  readRecord,
  type Tokenizer,
} from "../../stage1-tokenizer/index.ts";

export interface ReadImage {
  readonly key: string;
  readonly label?: number;
  readonly content: ImageContent;
}

interface DecodedImage {
  readonly key: string;
  readonly label?: number;
  /** [H, W, 3] */
  readonly pixels: Uint8Array;
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
  readonly make: (records: readonly ImageRecord[]) => Promise<(TokenizedImage | LeftOut)[]>;
  readonly dispose: () => Promise<void>;
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
    records.map((record) =>
      orLeftOut(record.key, async () => ({ ...nameOf(record), content: await readRecord(record) })),
    ),
  );
}

const nameOf = ({ key, label }: { readonly key: string; readonly label?: number }) =>
  label === undefined ? { key } : { key, label };

/** What is left out already stays so, in its place. */
export async function encodeImages(
  tokenizer: Tokenizer,
  images: readonly (ReadImage | LeftOut)[],
): Promise<(TokenizedImage | LeftOut)[]> {
  const decoded = await Promise.all(images.map((image) => decode(image, tokenizer.preprocessing)));
  const good = decoded.flatMap((image) => ("pixels" in image ? [image.pixels] : []));
  const { tokens } = await tokenizer.encode(Buffer.concat(good)); // [B, H, W, 3] → [B, h, w]
  const length = tokens.length / good.length;
  let at = 0;
  return decoded.map((image) =>
    "pixels" in image ? { ...nameOf(image), tokens: tokens.slice(at, (at += length)) } : image,
  );
}

async function decode(image: ReadImage | LeftOut, preprocessing: Preprocessing): Promise<DecodedImage | LeftOut> {
  if ("reason" in image) return image;
  return orLeftOut(image.key, async () => ({
    ...nameOf(image),
    pixels: await decodeImage(image.content, preprocessing, image.key),
  }));
}

/** Bad input as a value; anything else is thrown. */
async function orLeftOut<Image>(key: string, make: () => Promise<Image>): Promise<Image | LeftOut> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof TesseraError && error.code === "bad-input") return { key, reason: error.message };
    throw error;
  }
}
