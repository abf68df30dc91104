/** Windows cover what is open, begin beside what is known, and are filled from its edges. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { cropMask, hasMarks, invertMask, rectangleMask } from "../../../pipelines/edit/mask.ts";
import { nearestKnown, planWindows } from "../../../pipelines/edit/windows.ts";
import { masks, maskOf } from "./masks.ts";

const small = fc.integer({ min: 1, max: 4 });
const cases = fc
  .record({ height: small, width: small, rows: small, columns: small, step: small })
  .chain(({ height, width, rows, columns, step }) =>
    masks({ height: height + rows - 1, width: width + columns - 1 }).map((open) => ({
      open,
      size: { height, width },
      step: Math.min(step, height, width),
    })),
  );
const marks = (cells: Uint8Array): number => cells.reduce((sum, cell) => sum + cell, 0);

test("every open pixel is in a window, each window lies on the canvas, holds an open pixel and knows what is open", () => {
  fc.assert(
    fc.property(cases, ({ open, size, step }) => {
      const left = open.cells.slice();
      for (const { place, open: part, remaining } of planWindows(open, size, step)) {
        expect(place).toMatchObject(size);
        expect([place.x, place.y].every((value) => value >= 0)).toBe(true);
        expect([place.y + place.height <= open.height, place.x + place.width <= open.width]).toEqual([true, true]);
        expect(remaining).toEqual({ ...open, cells: left });
        expect(part).toEqual(cropMask(remaining, place));
        expect(hasMarks(part)).toBe(true);
        rectangleMask(place, open).cells.forEach((cell, i) => {
          if (cell === 1) left[i] = 0;
        });
      }
      expect(marks(left)).toBe(0);
    }),
  );
});

test("half of a window is known wherever any window with an open pixel is so", () => {
  fc.assert(
    fc.property(cases, ({ open, size }) => {
      for (const { open: part, remaining } of planWindows(open, size, 1)) {
        if (marks(part.cells) * 2 <= part.cells.length) continue;
        for (let y = 0; y + size.height <= open.height; y++) {
          for (let x = 0; x + size.width <= open.width; x++) {
            const other = marks(cropMask(remaining, { x, y, ...size }).cells);
            expect(other === 0 || other >= marks(part.cells)).toBe(true);
          }
        }
      }
    }),
  );
});

test("a canvas of one window's size has one, or none where nothing is open", () => {
  const size = { height: 3, width: 4 };
  expect(planWindows(maskOf("#### #### ####"), size, 2).map(({ place }) => place)).toEqual([{ x: 0, y: 0, ...size }]);
  expect(planWindows(maskOf(".... .... ...."), size, 2)).toEqual([]);
});

test("a margin as wide as the picture is drawn in two halves, the one beside the picture first", () => {
  const canvas = invertMask(rectangleMask({ x: 8, y: 0, width: 8, height: 8 }, { height: 8, width: 16 }));
  const places = planWindows(canvas, { height: 8, width: 8 }, 2).map(({ place }) => place.x);
  expect(places).toEqual([4, 0]);
});

test("beside a rectangle the nearest known pixels are its edge, replicated", () => {
  const place = { x: 2, y: 1, width: 3, height: 2 };
  const open = invertMask(rectangleMask(place, { height: 6, width: 7 }));
  const clamp = (value: number, from: number, length: number): number =>
    Math.min(Math.max(value, from), from + length - 1);
  const expected = [...open.cells.keys()].map((i) => clamp(Math.floor(i / 7), 1, 2) * 7 + clamp(i % 7, 2, 3));
  expect([...nearestKnown(open)]).toEqual(expected);
});

test("known pixels stay, open ones take one of the nearest known, and where none is known all stay", () => {
  fc.assert(
    fc.property(masks(), (open) => {
      const known = [...open.cells.keys()].filter((i) => open.cells[i] === 0);
      const distance = (a: number, b: number): number =>
        Math.abs(Math.floor(a / open.width) - Math.floor(b / open.width)) +
        Math.abs((a % open.width) - (b % open.width));
      nearestKnown(open).forEach((source, i) => {
        if (known.length === 0) expect(source).toBe(i);
        else {
          expect(known).toContain(source);
          expect(distance(i, source)).toBe(Math.min(...known.map((j) => distance(i, j))));
        }
      });
    }),
  );
});
