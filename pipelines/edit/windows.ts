/**
 * How a canvas larger than a tokenizer's picture is completed in windows of that picture's size: where they lie, in which order, and what
 * stands in them where there is nothing yet. Pure functions of masks.
 */
import { invariant } from "../../shared/errors.ts";
import type { Mask } from "../../stage1-tokenizer/index.ts";
import { cropMask, hasMarks, invertMask, type Rectangle } from "./mask.ts";

/** A place on the canvas, and what is open when its turn comes. */
export interface Window {
  readonly place: Rectangle;
  /** Of the canvas. */
  readonly remaining: Mask;
  /** Of the window. */
  readonly open: Mask;
}

/**
 * Windows that together cover every open pixel, each to be completed before the next. Of all places, `step` apart, the one that holds most
 * open pixels is taken, among those at least half known; where there is none, the best known one. So work begins beside what is known and
 * goes outwards, and a canvas of one window's size has one.
 * @param size of a window; the canvas must hold it
 * @param step at most a window's shorter side
 */
export function planWindows(canvas: Mask, size: Pick<Rectangle, "height" | "width">, step: number): readonly Window[] {
  const places = starts(canvas.height, size.height, step).flatMap((y) =>
    starts(canvas.width, size.width, step).map((x) => ({ x, y, ...size })),
  );
  const windows: Window[] = [];
  let open = canvas;
  while (hasMarks(open)) {
    const place = bestPlace(places, open);
    windows.push({ place, remaining: open, open: cropMask(open, place) });
    open = closed(open, place);
  }
  return windows;
}

/** 0, step, 2·step, …, and the last one that fits. */
function starts(length: number, size: number, step: number): number[] {
  invariant(size <= length, "a window is larger than its canvas");
  const last = length - size;
  return [...Array.from({ length: Math.ceil(last / step) }, (_, i) => i * step), last];
}

function bestPlace(places: readonly Rectangle[], open: Mask): Rectangle {
  const count = areaCounter(open);
  const half = ({ height, width }: Rectangle): number => (height * width) / 2;
  const counted = places.map((place) => ({ place, marks: count(place) })).filter(({ marks }) => marks > 0);
  const known = counted.filter(({ place, marks }) => marks <= half(place));
  const better = (a: number, b: number): boolean => (known.length > 0 ? a > b : a < b);
  const [first, ...others] = known.length > 0 ? known : counted;
  invariant(first !== undefined, "no window holds an open pixel");
  return others.reduce((best, other) => (better(other.marks, best.marks) ? other : best), first).place;
}

/** Marked cells in a rectangle, by sums over everything above and left of each corner. */
function areaCounter({ cells, height, width }: Mask): (place: Rectangle) => number {
  const sums = new Int32Array((height + 1) * (width + 1));
  const at = (y: number, x: number): number => sums[y * (width + 1) + x] ?? 0;
  cells.forEach((cell, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    sums[(y + 1) * (width + 1) + x + 1] = cell + at(y, x + 1) + at(y + 1, x) - at(y, x);
  });
  return ({ x, y, height: rows, width: columns }) =>
    at(y + rows, x + columns) - at(y, x + columns) - at(y + rows, x) + at(y, x);
}

function closed({ cells, ...size }: Mask, { x, y, height, width }: Rectangle): Mask {
  const left = cells.slice();
  for (let row = y; row < y + height; row++) left.fill(0, row * size.width + x, row * size.width + x + width);
  return { ...size, cells: left };
}

/**
 * For every cell the nearest one that is not open, counted in steps up, down and sideways: beside a rectangle that is its edge, replicated.
 * A canvas that is all open is left as it is.
 * @returns [H, W] indices of cells
 */
export function nearestKnown(open: Mask): Int32Array {
  const { cells, height, width } = open;
  const nearest = Int32Array.from(cells, (cell, i) => (cell === 1 ? -1 : i));
  const queue = [...invertMask(open).cells.entries()].filter(([, known]) => known === 1).map(([i]) => i);
  // A queue of growing length: cells come in the order of their distance.
  for (const i of queue) {
    const x = i % width;
    for (const [next, inside] of [
      [i - width, i >= width],
      [i + width, i < (height - 1) * width],
      [i - 1, x > 0],
      [i + 1, x < width - 1],
    ] as const) {
      if (!inside || nearest[next] !== -1) continue;
      nearest[next] = nearest[i] ?? i;
      queue.push(next);
    }
  }
  return nearest.map((source, i) => (source === -1 ? i : source));
}
