/** How pictures are laid out for people. */
import type { Tile } from "../stage1-tokenizer/index.ts";

/** All three channels of what is still open. */
export const GREY = 0x90;

/** Tiles in rows, about twice as wide as high. */
export function toRows(
  tiles: readonly Tile[],
  columns = Math.max(1, Math.min(16, Math.ceil(Math.sqrt(tiles.length * 2)))),
): Tile[][] {
  return Array.from({ length: Math.ceil(tiles.length / columns) }, (_, row) =>
    tiles.slice(row * columns, (row + 1) * columns),
  );
}

/** Originals above their reconstructions, row by row. */
export function pairRows(originals: readonly Tile[], reconstructions: readonly Tile[], columns = 16): Tile[][] {
  return toRows(originals, columns).flatMap((row, i) => [row, toRows(reconstructions, columns)[i] ?? []]);
}

/** uint8 [N, H, W, 3] as N tiles (views). */
export function toTiles(images: Uint8Array, [height, width]: readonly [number, number]): Tile[] {
  const length = height * width * 3;
  return Array.from({ length: images.length / length }, (_, i) => ({
    pixels: images.subarray(i * length, (i + 1) * length),
    height,
    width,
  }));
}
