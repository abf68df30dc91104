/** Marked pixels → open tokens → opacity: against what the words say, cell by cell. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  cropMask,
  dilate,
  feather,
  hasMarks,
  invertMask,
  rectangleMask,
  tokensUnder,
} from "../../../pipelines/edit/mask.ts";
import type { Mask } from "../../../stage1-tokenizer/index.ts";
import { masks, maskOf } from "./masks.ts";

/** Steps of a king from cell i to the nearest marked one; infinite if there is none. */
function distanceTo({ cells, width }: Mask, i: number): number {
  const distances = [...cells.keys()]
    .filter((j) => cells[j] === 1)
    .map((j) => Math.max(Math.abs(Math.floor(i / width) - Math.floor(j / width)), Math.abs((i % width) - (j % width))));
  return Math.min(Infinity, ...distances);
}

test("dilating marks the eight neighbours and no wrapped-around ones", () => {
  expect(dilate(maskOf("..... ...#. ..... .....")).cells).toEqual(maskOf("..### ..### ..### .....").cells);
  expect(dilate(maskOf("...# .... ....")).cells).toEqual(maskOf("..## ..## ....").cells);
});

test("a cell is marked after dilating if a marked one is at most a king's step away", () => {
  fc.assert(
    fc.property(masks(), (mask) => {
      expect([...dilate(mask).cells]).toEqual([...mask.cells.keys()].map((i) => (distanceTo(mask, i) <= 1 ? 1 : 0)));
    }),
  );
});

test("open tokens are those over a marked pixel and the ring around; all others are not", () => {
  const patches = fc.record({ patch: fc.integer({ min: 1, max: 4 }), h: fc.integer({ min: 1, max: 5 }), w: fc.integer({ min: 1, max: 5 }) }); // prettier-ignore
  const cases = patches.chain(({ patch, h, w }) =>
    masks({ height: h * patch, width: w * patch }).map((pixels) => ({ patch, h, w, pixels })),
  );
  fc.assert(
    fc.property(cases, ({ patch, h, w, pixels }) => {
      const open = tokensUnder(pixels, [h, w]);
      expect([open.height, open.width]).toEqual([h, w]);
      open.cells.forEach((cell, token) => {
        const place = { x: (token % w) * patch, y: Math.floor(token / w) * patch };
        const around = [...pixels.cells.keys()].some((i) => {
          const [y, x] = [Math.floor(i / pixels.width), i % pixels.width];
          const [rows, columns] = [y - place.y, x - place.x].map((offset) => Math.floor(offset / patch));
          return pixels.cells[i] === 1 && Math.abs(rows ?? 0) <= 1 && Math.abs(columns ?? 0) <= 1;
        });
        expect(cell).toBe(around ? 1 : 0);
      });
    }),
  );
});

test("opacity is 1 where marked, falls in a straight line, and is 0 from one patch on: wherever a token is kept", () => {
  const cases = fc
    .record({ patch: fc.integer({ min: 1, max: 4 }), side: fc.integer({ min: 1, max: 4 }) })
    .chain(({ patch, side }) =>
      masks({ height: side * patch, width: side * patch }).map((pixels) => ({ patch, side, pixels })),
    );
  fc.assert(
    fc.property(cases, ({ patch, side, pixels }) => {
      const opacity = feather(pixels, patch);
      const open = tokensUnder(pixels, [side, side]);
      opacity.forEach((value, i) => {
        expect(value).toBeCloseTo(Math.max(0, 1 - distanceTo(pixels, i) / patch), 6);
        const token = Math.floor(Math.floor(i / pixels.width) / patch) * side + Math.floor((i % pixels.width) / patch);
        if (open.cells[token] === 0) expect(value).toBe(0);
      });
    }),
  );
});

test("rectangles: what is marked, cropped and inverted", () => {
  const mask = rectangleMask({ x: 1, y: 0, width: 2, height: 2 }, { height: 3, width: 4 });
  expect(mask).toEqual(maskOf(".##. .##. ...."));
  expect(rectangleMask({ x: 3, y: 2, width: 9, height: 9 }, mask)).toEqual(maskOf(".... .... ...#"));
  expect(cropMask(mask, { x: 2, y: 1, width: 2, height: 2 })).toEqual(maskOf("#. .."));
  expect(invertMask(mask)).toEqual(maskOf("#..# #..# ####"));
  expect([hasMarks(mask), hasMarks(maskOf(".. .."))]).toEqual([true, false]);
});
