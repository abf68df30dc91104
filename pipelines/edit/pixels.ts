/** Pixels put over, into and beside others: pure functions of pictures. Knows no model and no file. */
import type { Mask, Tile } from "../../stage1-tokenizer/index.ts";
import { GREY } from "../sheets.ts";
import type { Rectangle } from "./mask.ts";

/** The part of a picture in a rectangle that lies within it: [height, width, 3]. */
export function cut({ pixels, width }: Tile, place: Rectangle): Uint8Array {
  const part = new Uint8Array(place.height * place.width * 3);
  for (let row = 0; row < place.height; row++) {
    const start = ((place.y + row) * width + place.x) * 3;
    part.set(pixels.subarray(start, start + place.width * 3), row * place.width * 3);
  }
  return part;
}

/** A copy of the picture with other pixels in a rectangle within it. @param part [height, width, 3] of the rectangle */
export function paste({ pixels, height, width }: Tile, part: Uint8Array, place: Rectangle): Tile {
  const changed = pixels.slice();
  for (let row = 0; row < place.height; row++) {
    const from = row * place.width * 3;
    changed.set(part.subarray(from, from + place.width * 3), ((place.y + row) * width + place.x) * 3);
  }
  return { pixels: changed, height, width };
}

/**
 * New pixels over old ones; where the opacity is 0 or 1, one of the two exactly.
 * @param above [H, W, 3]
 * @param below [H, W, 3]
 * @param opacity [H, W], 0 … 1
 * @returns [H, W, 3]
 */
export function blend(above: Uint8Array, below: Uint8Array, opacity: Float32Array): Uint8Array {
  return below.map((old, i) => Math.round(old + (opacity[Math.floor(i / 3)] ?? 0) * ((above[i] ?? 0) - old)));
}

/** Every pixel replaced by the one that `sources` names for it. @param sources [H, W] indices of pixels */
export function gather({ pixels, ...size }: Tile, sources: Int32Array): Tile {
  const colours = pixels.map((_, i) => pixels[3 * (sources[Math.floor(i / 3)] ?? 0) + (i % 3)] ?? 0);
  return { ...size, pixels: colours };
}

/** Marked pixels in grey. */
export function shade({ pixels, ...size }: Tile, { cells }: Mask): Tile {
  return { ...size, pixels: pixels.map((value, i) => (cells[Math.floor(i / 3)] === 1 ? GREY : value)) };
}
