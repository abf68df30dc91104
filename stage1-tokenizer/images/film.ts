/**
 * Pictures → an animated WebP file. Knows no model, and not what the pictures show.
 */
import sharp from "sharp";
import { usageError } from "../../shared/errors.ts";
import { type Tile, writeWhole } from "./write.ts";

export interface Film {
  /** All of one size. */
  readonly frames: readonly Tile[];
  /** How long each frame but the last stands, in milliseconds. */
  readonly delay: number;
  /** How long the last one does, before the film begins again. */
  readonly lastDelay: number;
}

/**
 * Writes a film without loss, whole or not at all; makes the folder if need be.
 * @throws usage error if there is no frame or they differ in size; failure if the disk refuses
 */
export async function writeFilm({ path, frames, delay, lastDelay }: Film & { readonly path: string }): Promise<void> {
  const { height, width } = checkFrames(frames);
  const pages = Buffer.concat(frames.map(({ pixels }) => pixels)); // [frames·height, width, 3]
  const raw = { width, height: height * frames.length, channels: 3, pageHeight: height } as const;
  const delays = frames.map((_, i) => (i === frames.length - 1 ? lastDelay : delay));
  const webp = sharp(pages, { raw }).webp({ lossless: true, loop: 0, delay: delays });
  await writeWhole(path, await webp.toBuffer(), "film");
}

function checkFrames(frames: readonly Tile[]): Tile {
  const [first] = frames;
  const same = frames.every(
    ({ pixels, height, width }) =>
      height === first?.height && width === first.width && pixels.length === height * width * 3,
  );
  if (first !== undefined && same) return first;
  throw usageError({
    what: "frames do not make a film",
    where: "film",
    expected: "at least one, all of one size",
    got: frames.map(({ height, width }) => `${height}×${width}`).join(", ") || "none",
  });
}
