/** Rectangles and margins in words, and what is refused. */
import { describe, expect, test } from "vitest";
import { checkRegion, extend, MarginsSchema, RegionSchema } from "../../../pipelines/edit/places.ts";
import { maskOf } from "./masks.ts";

describe("regions", () => {
  test("are four whole numbers", () => {
    expect(RegionSchema.parse("1, 2,3,40")).toEqual({ x: 1, y: 2, width: 3, height: 40 });
  });
  test.each(["", "1,2,3", "1,2,3,4,5", "1,2,0,4", "1,2,3,0", "-1,2,3,4", "1.5,2,3,4", "a,b,c,d", "1,2,3,"])(
    "%j is none",
    (text) => {
      expect(RegionSchema.safeParse(text).success).toBe(false);
    },
  );
  test("must lie within the picture (2)", () => {
    const size = { height: 10, width: 20 };
    expect(() => {
      checkRegion({ x: 15, y: 0, width: 5, height: 10 }, size);
    }).not.toThrow();
    for (const wrong of [
      { x: 16, y: 0 },
      { x: 15, y: 1 },
    ]) {
      expect(() => {
        checkRegion({ ...wrong, width: 5, height: 10 }, size);
      }).toThrow(/--region.*≤ 20.*≤ 10/);
    }
  });
});

describe("margins", () => {
  test("are sides and whole numbers, 0 where left out", () => {
    expect(MarginsSchema.parse("left=24, bottom=8")).toEqual({ left: 24, right: 0, top: 0, bottom: 8 });
    expect(MarginsSchema.parse("top=0,right=1")).toEqual({ left: 0, right: 1, top: 0, bottom: 0 });
  });
  test.each([
    "",
    "left",
    "left=",
    "left=-1",
    "left=1.5",
    "lft=3",
    "left=1,left=2",
    "left=0",
    "left=1=2",
    "toString=1",
    "24",
  ])("%j are none", (text) => {
    expect(MarginsSchema.safeParse(text).success).toBe(false);
  });
  test("extend a picture to a canvas that is open around it", () => {
    const tile = { pixels: Uint8Array.from({ length: 6 }, (_, i) => i + 1), height: 1, width: 2 };
    const { picture, open } = extend(tile, { left: 1, right: 2, top: 1, bottom: 0 });
    expect(open).toEqual(maskOf("##### #..##"));
    expect(picture).toMatchObject({ height: 2, width: 5 });
    expect([...picture.pixels.subarray(18, 24)]).toEqual([...tile.pixels]);
  });
  test("are at most as wide as the picture (2)", () => {
    const tile = { pixels: new Uint8Array(6), height: 1, width: 2 };
    const none = { left: 0, right: 0, top: 0, bottom: 0 };
    expect(extend(tile, { ...none, left: 2, bottom: 1 }).open).toMatchObject({ height: 2, width: 4 });
    expect(() => extend(tile, { ...none, right: 3 })).toThrow(/--outpaint right.*0 … 2.*got 3/);
    expect(() => extend(tile, { ...none, top: 2 })).toThrow(/--outpaint top.*0 … 1.*got 2/);
  });
});
