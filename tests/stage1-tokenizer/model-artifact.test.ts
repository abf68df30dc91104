/** What both kinds of published models count and cut by; opening one is in tokenizer.test.ts and autoencoder.test.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chunks, countImages, expectData } from "../../stage1-tokenizer/model-artifact.ts";

describe("pieces of a large call", () => {
  test("follow on each other, leave nothing out, and are never empty or larger than 4", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), (count) => {
        let next = 0;
        for (const [start, size] of chunks(count)) {
          expect(start).toBe(next);
          expect(size).toBeGreaterThan(0);
          expect(size).toBeLessThanOrEqual(4);
          next = start + size;
        }
        expect(next).toBe(count);
      }),
    );
  });

  test("are as few as can be", () => {
    expect([...chunks(8)]).toEqual([
      [0, 4],
      [4, 4],
    ]);
    expect([...chunks(9)]).toHaveLength(3);
  });
});

test("images are counted by height and width; what is left over is bad input that says where", () => {
  expect(countImages(new Uint8Array(2 * 3 * 5 * 3), [3, 5], "here")).toBe(2);
  expect(countImages(new Uint8Array(0), [3, 5], "here")).toBe(0);
  expect(() => countImages(new Uint8Array(46), [3, 5], "here")).toThrow(
    "here: pixels do not fill whole images (expected a multiple of 3×5×3 = 45 values, got 46).",
  );
});

test("a graph that returns another type than its signature says is a bug, not bad input", () => {
  expect(expectData(new Float32Array(2), Float32Array)).toHaveLength(2);
  expect(() => expectData(new Float32Array(2), Uint8Array)).toThrow(/Uint8Array, got Float32Array/);
  expect(() => expectData(undefined, Uint8Array)).toThrow(/got nothing/);
});
