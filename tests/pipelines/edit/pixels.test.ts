/** Pixels cut out, put back, blended and painted. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { blend, cut, gather, paste, shade } from "../../../pipelines/edit/pixels.ts";
import { GREY } from "../../../pipelines/sheets.ts";
import { maskOf } from "./masks.ts";

const picture = (height: number, width: number) => ({
  pixels: Uint8Array.from({ length: height * width * 3 }, (_, i) => i),
  height,
  width,
});
const place = { x: 1, y: 2, width: 2, height: 2 };

test("what is cut out and pasted back changes nothing, other pixels change their rectangle alone", () => {
  const whole = picture(5, 4);
  const part = cut(whole, place);
  expect([...part.subarray(0, 6)]).toEqual([27, 28, 29, 30, 31, 32]); // from pixel 2·4 + 1
  expect(paste(whole, part, place)).toEqual(whole);
  const changed = paste(whole, part.map(() => 255), place); // prettier-ignore
  expect(cut(changed, place).every((value) => value === 255)).toBe(true);
  expect(changed.pixels.filter((value, i) => value !== whole.pixels[i])).toHaveLength(12);
  expect(whole).toEqual(picture(5, 4));
});

test("blending is exact at both ends and between the two elsewhere", () => {
  const bytes = fc.uint8Array({ minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(bytes, bytes, (above, below) => {
      const opacity = Float32Array.of(0, 1, 0.5, 0.25);
      const mixed = blend(above, below, opacity);
      expect(mixed.subarray(0, 3)).toEqual(below.subarray(0, 3));
      expect(mixed.subarray(3, 6)).toEqual(above.subarray(3, 6));
      for (let i = 6; i < 12; i++) {
        const [new_, old] = [above[i] ?? 0, below[i] ?? 0];
        expect(Math.abs((mixed[i] ?? 0) - (old + (i < 9 ? 0.5 : 0.25) * (new_ - old)))).toBeLessThanOrEqual(0.5);
      }
    }),
  );
});

test("gathered pixels are those named, shaded ones grey", () => {
  const row = { pixels: Uint8Array.of(1, 2, 3, 4, 5, 6), height: 1, width: 2 };
  expect([...gather(row, Int32Array.of(1, 1)).pixels]).toEqual([4, 5, 6, 4, 5, 6]);
  expect([...shade(row, maskOf("#.")).pixels]).toEqual([GREY, GREY, GREY, 4, 5, 6]);
});
