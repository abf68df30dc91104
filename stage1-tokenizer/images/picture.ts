/**
 * One picture named by its path, for commands that work on a single one. Knows no source and no set; decoding is `decodeImage`'s.
 */
import { readFile } from "node:fs/promises";
import sharp from "sharp";
import { badInput } from "../../shared/errors.ts";
import { FIRST_FRAME, notDecodable } from "./decode.ts";

export interface Picture {
  readonly path: string;
  /** The file as it is. */
  readonly bytes: Uint8Array;
  /** Size in pixels, upright; of a drawing, its own at 72 dots per inch. */
  readonly height: number;
  readonly width: number;
}

/** Reads a file and its header; whether the rest of it is whole shows when it is decoded. @throws bad-input if it is no image. */
export async function openPicture(path: string): Promise<Picture> {
  const bytes = await readBytes(path);
  try {
    const { autoOrient } = await sharp(bytes, FIRST_FRAME).metadata();
    return { path, bytes, height: autoOrient.height, width: autoOrient.width };
  } catch (cause) {
    throw notDecodable(path, cause);
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const todo = "Check the path and its permissions.";
    throw badInput({ what: "image cannot be read", where: path, expected: "an image file", todo, cause });
  }
}
