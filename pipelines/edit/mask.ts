/**
 * What a marked part of a picture means for its tokens and for its pixels: pure functions of masks. Knows no pixel's colour and no model.
 */
import type { Mask } from "../../stage1-tokenizer/index.ts";

export const hasMarks = ({ cells }: Mask): boolean => cells.includes(1);

/** A rectangle in cells, from its upper left corner; what lies outside `size` is left out. */
export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** All of `size` marked that lies in `rectangle`. */
export function rectangleMask(rectangle: Rectangle, { height, width }: Pick<Mask, "height" | "width">): Mask {
  const { x, y } = rectangle;
  const cells = Uint8Array.from({ length: height * width }, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    return row >= y && row < y + rectangle.height && column >= x && column < x + rectangle.width ? 1 : 0;
  });
  return { cells, height, width };
}

export const invertMask = ({ cells, ...size }: Mask): Mask => ({ ...size, cells: cells.map((cell) => 1 - cell) });

/** The part of a mask under a rectangle that lies within it. */
export function cropMask({ cells, width }: Mask, { x, y, ...size }: Rectangle): Mask {
  const cropped = new Uint8Array(size.height * size.width);
  for (let row = 0; row < size.height; row++) {
    const start = (y + row) * width + x;
    cropped.set(cells.subarray(start, start + size.width), row * size.width);
  }
  return { ...size, cells: cropped };
}

/** Marks every neighbour of a marked cell, the eight around it, as well. */
export function dilate({ cells, height, width }: Mask): Mask {
  const grown = new Uint8Array(cells.length);
  cells.forEach((cell, i) => {
    if (cell === 0) return;
    const [row, column] = [Math.floor(i / width), i % width];
    for (let y = Math.max(0, row - 1); y <= Math.min(height - 1, row + 1); y++) {
      grown.fill(1, y * width + Math.max(0, column - 1), y * width + Math.min(width - 1, column + 1) + 1);
    }
  });
  return { cells: grown, height, width };
}

/**
 * The tokens to draw anew for marked pixels: those whose patch holds one, and one ring around. The ring is what the new part is joined to
 * the old one with: a token there still describes the border as it was.
 * @param grid [h, w]
 */
export function tokensUnder(pixels: Mask, grid: readonly [height: number, width: number]): Mask {
  const [height, width] = grid;
  const cells = new Uint8Array(height * width);
  pixels.cells.forEach((cell, i) => {
    const row = Math.floor((Math.floor(i / pixels.width) * height) / pixels.height);
    const column = Math.floor(((i % pixels.width) * width) / pixels.width);
    if (cell === 1) cells[row * width + column] = 1;
  });
  return dilate({ cells, height, width });
}

/**
 * Opacity of new pixels over old ones: 1 where marked, then in a straight line down to 0 at a distance of `reach` pixels, along whichever
 * axis is longer. With the width of a patch as reach it is 0 wherever a token is kept.
 * @returns [H, W]
 */
export function feather(pixels: Mask, reach: number): Float32Array {
  const opacity = Float32Array.from(pixels.cells);
  let reached = pixels;
  for (let distance = 1; distance < reach; distance++) {
    const next = dilate(reached);
    next.cells.forEach((cell, i) => {
      if (cell > (reached.cells[i] ?? 0)) opacity[i] = 1 - distance / reach;
    });
    reached = next;
  }
  return opacity;
}
