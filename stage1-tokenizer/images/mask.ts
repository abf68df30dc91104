/**
 * Parts of a picture: which pixels are marked, read from an image, and carried through the geometry the picture goes through. Knows
 * nothing of what is done with them.
 */
import sharp from "sharp";
import { badInput } from "../../shared/errors.ts";
import { decodeImage, FIRST_FRAME, notDecodable } from "./decode.ts";
import type { Picture } from "./picture.ts";
import type { Preprocessing } from "./preprocess.ts";

/** A grid of cells, of which some are marked: pixels or tokens. */
export interface Mask {
  /** [height, width] in raster order: 1 where marked, else 0. */
  readonly cells: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** Rec. 709, on sRGB values as they are stored: what counts is which side of half a picture editor's grey lies on. */
const LUMA = [0.2126, 0.7152, 0.0722] as const;
/** Half of the way from black to white. */
const BRIGHT = 127.5;
/** Of a pixel of the smaller picture: less would let strokes thinner than that disappear, more would swell edges by a pixel. */
const COVERED = 0.25 * 255;

/**
 * The marked pixels of a mask drawn over `picture`: those at least half bright, where brightness counts as much as its pixel is opaque.
 * @throws bad-input if the mask is no image, or not of the picture's size
 */
export async function readMask({ path, bytes, height, width }: Picture, picture: Picture): Promise<Mask> {
  if (height !== picture.height || width !== picture.width) {
    throw badInput({
      what: `the mask is not of the size of ${picture.path}`,
      where: path,
      expected: `${picture.width}×${picture.height} pixels`,
      got: `${width}×${height}`,
      todo: "Draw it over the picture itself.",
    });
  }
  const rgba = await decodeWhole(bytes, path); // [H, W, 4]
  const cells = Uint8Array.from({ length: height * width }, (_, i) => {
    const luma = LUMA.reduce((sum, share, channel) => sum + share * (rgba[4 * i + channel] ?? 0), 0);
    return luma * (rgba[4 * i + 3] ?? 0) >= BRIGHT * 255 ? 1 : 0;
  });
  return { cells, height, width };
}

/** @returns [H, W, 4] */
async function decodeWhole(bytes: Uint8Array, where: string): Promise<Uint8Array> {
  try {
    return await sharp(bytes, FIRST_FRAME).autoOrient().toColourspace("srgb").ensureAlpha().raw().toBuffer();
  } catch (cause) {
    throw notDecodable(where, cause);
  }
}

/**
 * A picture's mask as one of the picture that preprocessing makes: resized and cropped alike. A pixel is marked where about a quarter of it
 * is. What is put around a contained picture is not marked.
 */
export async function fitMask(mask: Mask, preprocessing: Preprocessing, where: string): Promise<Mask> {
  const { height: rows, width: columns } = mask;
  const pixels = mask.cells.map((cell) => cell * 255);
  // Linear: kernels with negative lobes would mark the surroundings of a hole.
  const geometry = { ...preprocessing, kernel: "linear", background: [0, 0, 0] } satisfies Preprocessing;
  const fitted = await decodeImage({ pixels, height: rows, width: columns, channels: 1 }, geometry, where); // [H, W, 3]
  const [height, width] = preprocessing.size;
  const cells = Uint8Array.from({ length: height * width }, (_, i) => ((fitted[3 * i] ?? 0) >= COVERED ? 1 : 0));
  return { cells, height, width };
}
