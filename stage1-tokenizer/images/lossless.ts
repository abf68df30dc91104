/** What lossless files of an image weigh: the yardstick for code lengths. Writes nothing. */
import sharp from "sharp";
import type { Tile } from "./write.ts";

/** Bytes of whole files, headers included. */
export interface LosslessBytes {
  readonly png: number;
  readonly webp: number;
}

/** Both at the greatest effort of their encoders, without metadata; either decodes to the same pixels. */
export async function losslessBytes({ pixels, height, width }: Tile): Promise<LosslessBytes> {
  const image = () => sharp(pixels, { raw: { height, width, channels: 3 } });
  const [png, webp] = await Promise.all([
    image().png({ compressionLevel: 9, adaptiveFiltering: true }).toBuffer(),
    image().webp({ lossless: true, effort: 6 }).toBuffer(),
  ]);
  return { png: png.length, webp: webp.length };
}
