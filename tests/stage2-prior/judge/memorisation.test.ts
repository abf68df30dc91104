/** The nearest training image, by tokens and by features: by hand, and against a search that leaves nothing out. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TokenGrid } from "../../../shared/tokens.ts";
import {
  memorisationFigures,
  median,
  nearestByFeatures,
  nearestByTokens,
} from "../../../stage2-prior/judge/memorisation.ts";
import { squaredDistance, type Vectors } from "../../../stage2-prior/judge/vectors.ts";

/** Grids of 1×4 tokens. */
const rows = (...images: readonly (readonly number[])[]): TokenGrid => ({
  tokens: Int32Array.from(images.flat()),
  shape: [images.length, 1, 4],
});
const lists = fc.array(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 4, maxLength: 4 }), { minLength: 1, maxLength: 6 }); // prettier-ignore

describe("by tokens", () => {
  test("the share of equal tokens, and the first of equally near images", () => {
    const training = rows([0, 0, 0, 0], [1, 1, 2, 2], [1, 1, 1, 2], [1, 1, 1, 2]);
    const { indices, shares } = nearestByTokens(rows([1, 1, 1, 2], [0, 0, 3, 3], [1, 1, 3, 3], [5, 5, 5, 5]), training);
    expect([...indices]).toEqual([2, 0, 1, 0]);
    expect([...shares]).toEqual([1, 0.5, 0.5, 0]);
  });

  test("no image of the training set shares more", () => {
    fc.assert(
      fc.property(lists, lists, (samples, training) => {
        const { indices, shares } = nearestByTokens(rows(...samples), rows(...training));
        samples.forEach((sample, i) => {
          const all = training.map((image) => image.filter((token, k) => token === sample[k]).length / 4);
          expect(shares[i]).toBe(Math.max(...all));
          expect(indices[i]).toBe(all.indexOf(Math.max(...all)));
        });
      }),
    );
  });

  test("grids of two sizes, and none to be near to, are bugs of the caller", () => {
    expect(() => nearestByTokens(rows([0, 0, 0, 0]), rows())).toThrow(/near to/);
    const square: TokenGrid = { tokens: new Int32Array(4), shape: [1, 2, 2] };
    expect(() => nearestByTokens(rows([0, 0, 0, 0]), square)).toThrow(/one size/);
  });
});

describe("by features", () => {
  test("the Euclidean distance to the nearest", () => {
    const references: Vectors = { features: Float32Array.of(0, 0, 10, 0, 3, 4), size: 2 };
    const { indices, distances } = nearestByFeatures({ features: Float32Array.of(6, 8, 10, 1, 0, 0), size: 2 }, references); // prettier-ignore
    expect([...indices]).toEqual([2, 1, 0]);
    expect([...distances]).toEqual([5, 1, 0]);
  });

  test("no reference is nearer", () => {
    fc.assert(
      fc.property(lists, lists, (a, b) => {
        const [samples, references] = [a, b].map((list) => ({ features: Float32Array.from(list.flat()), size: 4 }));
        if (samples === undefined || references === undefined) return;
        const { indices, distances } = nearestByFeatures(samples, references);
        a.forEach((_, i) => {
          const all = b.map((_vector, j) => squaredDistance(samples, i, references, j));
          expect(distances[i]).toBeCloseTo(Math.sqrt(Math.min(...all)), 12);
          expect(indices[i]).toBe(all.indexOf(Math.min(...all)));
        });
      }),
    );
  });
});

test("more than 90 % is a copy, 90 % is none", () => {
  const figures = memorisationFigures(Float64Array.of(0.2, 0.9, 0.95, 1, 0.91));
  expect(figures).toEqual({ largestShare: 1, mostMemorised: 3, copies: 3 });
  expect(() => memorisationFigures(new Float64Array(0))).toThrow(/must be a sample/);
});

test("the median is the middle, or the mean of two", () => {
  expect(median(Float64Array.of(9, 1, 4))).toBe(4);
  expect(median(Float64Array.of(9, 1, 4, 2))).toBe(3);
  expect(median(new Float64Array(0))).toBeNaN();
});
