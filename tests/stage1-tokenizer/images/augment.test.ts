import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { augment, type Augmentation, type BatchShape } from "../../../stage1-tokenizer/images/index.ts";
import { noise, USAGE } from "./fixtures.ts";

type Grid = readonly (readonly number[])[];

/** [H, W] numbers → [H, W, 3]: the three channels of a pixel differ and name it. */
const pixels = (grid: Grid): number[] => grid.flat().flatMap((value) => [value, value + 80, value + 160]);

const OFF: Augmentation = { flip: false, crop: 0 };
const FLIP: Augmentation = { flip: true, crop: 0 };

/** Different results of 200 draws for one image. */
function variants(grid: Grid, options: Augmentation): Set<string> {
  const size = { batchSize: 1, height: grid.length, width: grid[0]?.length ?? 0 };
  const images = Uint8Array.from(pixels(grid));
  const results = Array.from({ length: 200 }, (_, seed) => augment(images, size, options, Rng.fromSeed(seed)));
  return new Set(results.map((result) => result.join()));
}

describe("pixel by pixel", () => {
  const image = [
    [1, 2, 3],
    [4, 5, 6],
  ];
  const mirrored = [
    [3, 2, 1],
    [6, 5, 4],
  ];

  test("a flip leaves an image or mirrors it left to right", () => {
    expect(variants(image, FLIP)).toEqual(new Set([image, mirrored].map((grid) => pixels(grid).join())));
  });

  // Rows 4 1 4 1 after padding by one; columns 2 1 2 3 2. The border itself is not repeated.
  const rows = [
    [4, 5, 6],
    [1, 2, 3],
    [4, 5, 6],
    [1, 2, 3],
  ];
  const padded = rows.map(([a = 0, b = 0, c = 0]) => [b, a, b, c, b]);
  const crops = [0, 1, 2].flatMap((top) =>
    [0, 1, 2].map((left) => padded.slice(top, top + 2).map((row) => row.slice(left, left + 3))),
  );

  test("a crop of one pixel is one of nine cuts out of the image and its reflection", () => {
    expect(variants(image, { flip: false, crop: 1 })).toEqual(new Set(crops.map((grid) => pixels(grid).join())));
  });

  test("both are a crop, mirrored or not", () => {
    const both = [...crops, ...crops.map((grid) => grid.map((row) => row.toReversed()))];
    expect(variants(image, { flip: true, crop: 1 })).toEqual(new Set(both.map((grid) => pixels(grid).join())));
  });

  test("the widest crop reaches from the far side to the far side", () => {
    const row = [1, 2, 3, 4].map((value) => [value]);
    const expected = [4, 3, 2, 1, 2, 3, 4, 3, 2, 1];
    const columns = Array.from({ length: 7 }, (_, top) => expected.slice(top, top + 4).map((value) => [value]));
    // Equal columns, so that cutting sideways shows nothing.
    const wide = (grid: Grid): Grid => grid.map(([value = 0]) => [value, value, value, value]);
    expect(variants(wide(row), { flip: false, crop: 3 })).toEqual(
      new Set(columns.map((grid) => pixels(wide(grid)).join())),
    );
  });
});

const shape = fc.record({
  batchSize: fc.integer({ min: 1, max: 4 }),
  height: fc.integer({ min: 3, max: 7 }),
  width: fc.integer({ min: 3, max: 7 }),
});
const options = fc.record({ flip: fc.boolean(), crop: fc.nat(2) });
const imagesOf = ({ batchSize, height, width }: BatchShape): Uint8Array => noise(batchSize * height, width);

describe("a draw", () => {
  test("is the image's own: others in the batch change nothing, and the input stays as it was", () => {
    fc.assert(
      fc.property(shape, options, fc.nat(), (size, how, seed) => {
        const images = imagesOf(size);
        const [rng, before] = [Rng.fromSeed(seed), images.slice()];
        const result = augment(images, size, how, rng);
        expect(images).toEqual(before);
        expect(augment(images, size, how, rng)).toEqual(result);
        const imageBytes = size.height * size.width * 3;
        const others = images.map((byte, i) => (i < imageBytes * (size.batchSize - 1) ? 255 - byte : byte));
        expect(augment(others, size, how, rng).slice(-imageBytes)).toEqual(result.slice(-imageBytes));
        const first = augment(images.slice(0, imageBytes), { ...size, batchSize: 1 }, how, rng);
        expect(first).toEqual(result.slice(0, imageBytes));
      }),
    );
  });

  test("is another for each image and each generator", () => {
    const size = { batchSize: 16, height: 6, width: 6 };
    const images = Uint8Array.from({ length: 16 * 108 }, (_, i) => i % 108); // sixteen times the same
    const how = { flip: true, crop: 4 };
    const one = augment(images, size, how, Rng.fromSeed(1));
    const distinct = Array.from({ length: 16 }, (_, i) => one.slice(i * 108, (i + 1) * 108).join());
    expect(new Set(distinct).size).toBeGreaterThan(8);
    expect(augment(images, size, how, Rng.fromSeed(2))).not.toEqual(one);
  });

  test("crops the same with and without flipping", () => {
    const size = { batchSize: 64, height: 3, width: 4 };
    const images = imagesOf(size);
    const crops = (flip: boolean): Uint8Array[] => {
      const result = augment(images, size, { flip, crop: 2 }, Rng.fromSeed(5));
      return Array.from({ length: 64 }, (_, i) => result.slice(i * 36, (i + 1) * 36));
    };
    const [plain, flipped] = [crops(false), crops(true)];
    const mirror = (image: Uint8Array): Uint8Array =>
      image.map((_, i) => image[Math.floor(i / 12) * 12 + (3 - (Math.floor(i / 3) % 4)) * 3 + (i % 3)] ?? 0);
    const same = plain.map((image, i) => image.join() === flipped[i]?.join());
    same.forEach((unflipped, i) => {
      if (!unflipped) expect(flipped[i]).toEqual(mirror(plain[i] ?? new Uint8Array()));
    });
    const kept = same.filter(Boolean).length;
    expect(kept).toBeGreaterThan(16); // half of 64, four standard deviations away
    expect(kept).toBeLessThan(48);
  });
});

test("nothing asked for gives the very same array", () => {
  const size = { batchSize: 2, height: 3, width: 3 };
  const images = imagesOf(size);
  expect(augment(images, size, OFF, Rng.fromSeed(1))).toBe(images);
});

test.each([-1, 0.5, 4, 5, Number.NaN])("a crop of %d on images of 6×4 is refused", (crop) => {
  const size = { batchSize: 1, height: 6, width: 4 };
  const run = () => augment(imagesOf(size), size, { flip: false, crop }, Rng.fromSeed(1));
  expect(run).toThrow(expect.objectContaining(USAGE));
});

test("images of another shape are a bug", () => {
  const size = { batchSize: 2, height: 3, width: 3 };
  expect(() => augment(new Uint8Array(53), size, OFF, Rng.fromSeed(1))).toThrow("[2, 3, 3, 3]");
});
