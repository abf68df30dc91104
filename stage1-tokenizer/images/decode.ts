/**
 * Encoded bytes → [H, W, 3] sRGB pixels, with sharp. Knows no source and no batch. Whatever is wrong with the bytes becomes a
 * bad-input error that names the image.
 */
import sharp, { type OutputInfo, type SharpOptions } from "sharp";
import { badInput, TesseraError } from "../../shared/errors.ts";
import type { Preprocessing } from "./preprocess.ts";
import type { ImageContent, ImageRecord, RawPixels } from "./source.ts";

/** Images of more pixels are refused by their header: 31 KB of PNG can unpack to 256 megapixels. */
export const MAX_PIXELS = 100_000_000;

/** What is read of a file: its first frame, if the whole of it is there. */
export const FIRST_FRAME = {
  limitInputPixels: MAX_PIXELS,
  failOn: "error",
  page: 0,
  pages: 1,
} as const satisfies SharpOptions;

// Parallelism comes from many images at once, and no image is read twice: libvips' own threads and cache only cost memory.
sharp.concurrency(1);
sharp.cache(false);

/**
 * Decodes one image: first frame, upright, resized, transparency over `background`, sRGB, 8 bits.
 * @param where names the image in errors.
 * @returns [H, W, 3], length H·W·3.
 * @throws bad-input for anything that is not a whole image of at most `MAX_PIXELS`.
 */
export async function decodeImage(
  content: ImageContent,
  preprocessing: Preprocessing,
  where: string,
): Promise<Uint8Array> {
  const [height, width] = preprocessing.size;
  const [r, g, b] = preprocessing.background;
  const { fit, kernel, fastShrinkOnLoad } = preprocessing;
  const { bytes, options } = await inputOf(content, preprocessing, where);
  let decoded: { data: Buffer; info: OutputInfo };
  try {
    decoded = await sharp(bytes, options)
      .autoOrient()
      .pipelineColourspace("srgb") // else a grey image's background would be grey
      .resize({ width, height, fit, kernel, fastShrinkOnLoad, background: { r, g, b } })
      .flatten({ background: { r, g, b } })
      .toColourspace("srgb")
      .raw()
      .toBuffer({ resolveWithObject: true });
  } catch (cause) {
    throw notDecodable(where, cause);
  }
  const { data, info } = decoded;
  if (info.channels !== 3 || info.height !== height || info.width !== width) {
    const got = `[${info.height}, ${info.width}, ${info.channels}]`;
    throw badInput({ what: "image decodes to another shape", where, expected: `[${height}, ${width}, 3]`, got });
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export type DecodedRecord =
  { readonly ok: true; readonly pixels: Uint8Array } | { readonly ok: false; readonly failure: TesseraError };

/** Reads and decodes one record; bad input comes back as a value. Anything else (a bug) is thrown. */
export async function decodeRecord(record: ImageRecord, preprocessing: Preprocessing): Promise<DecodedRecord> {
  try {
    return { ok: true, pixels: await decodeImage(await readRecord(record), preprocessing, record.key) };
  } catch (error) {
    if (error instanceof TesseraError && error.code === "bad-input") return { ok: false, failure: error };
    throw error;
  }
}

/** @throws bad-input if the record cannot be read; whatever `read` throws as a TesseraError. */
export async function readRecord(record: ImageRecord): Promise<ImageContent> {
  try {
    return await record.read();
  } catch (cause) {
    if (cause instanceof TesseraError) throw cause;
    throw badInput({ what: `image cannot be read: ${messageOf(cause)}`, where: record.key, cause });
  }
}

interface SharpInput {
  readonly bytes: Uint8Array;
  readonly options: SharpOptions;
}

async function inputOf(content: ImageContent, preprocessing: Preprocessing, where: string): Promise<SharpInput> {
  if (!(content instanceof Uint8Array)) return rawInput(content, where);
  if (content.length === 0) {
    throw badInput({ what: "image file is empty", where, expected: "an image", got: "0 bytes" });
  }
  if (!looksLikeSvg(content)) return { bytes: content, options: FIRST_FRAME };
  return { bytes: content, options: { ...FIRST_FRAME, density: await svgDensity(content, preprocessing, where) } };
}

function rawInput({ pixels, height, width, channels }: RawPixels, where: string): SharpInput {
  if (pixels.length !== height * width * channels || pixels.length === 0) {
    throw badInput({
      what: "pixels do not fill their shape",
      where,
      expected: `${height}×${width}×${channels} bytes, at least one`,
      got: String(pixels.length),
    });
  }
  return { bytes: pixels, options: { limitInputPixels: MAX_PIXELS, raw: { height, width, channels } } };
}

/** The first character that is no blank and no byte order mark opens a tag. */
function looksLikeSvg(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte > 0x20 && byte !== 0xef && byte !== 0xbb && byte !== 0xbf);
  return first === 0x3c;
}

/** Dots per inch at which a drawing renders at its final size, so that nothing is enlarged from pixels. 72 is its own size. */
async function svgDensity(bytes: Uint8Array, preprocessing: Preprocessing, where: string): Promise<number> {
  try {
    const { width, height } = await sharp(bytes, { limitInputPixels: MAX_PIXELS }).metadata();
    const scales = [preprocessing.size[0] / height, preprocessing.size[1] / width];
    const scale = preprocessing.fit === "contain" ? Math.min(...scales) : Math.max(...scales);
    return Math.min(Math.max(72 * scale, 1), 100_000);
  } catch (cause) {
    throw notDecodable(where, cause);
  }
}

export function notDecodable(where: string, cause: unknown): TesseraError {
  return badInput({
    what: `image cannot be decoded: ${messageOf(cause)}`,
    where,
    expected: `a whole image file of at most ${MAX_PIXELS / 1e6} megapixels`,
    cause,
  });
}

/** The first line: libvips keeps the messages of all threads in one place, and what follows may be another image's. */
const messageOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).trim().replace(/\s*\n[^]*/, "");
