/** Precision and recall on vectors whose neighbourhoods can be seen at a glance, and against the definition written out. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { coverage, createManifold, precisionRecall } from "../../../stage2-prior/judge/precision-recall.ts";
import { squaredDistance, type Vectors } from "../../../stage2-prior/judge/vectors.ts";

const points = (...values: readonly number[]): Vectors => ({ features: Float32Array.from(values), size: 1 });
const clouds = fc
  .array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 })), { minLength: 4, maxLength: 12 })
  .map((pairs): Vectors => ({ features: Float32Array.from(pairs.flat()), size: 2 }));

test("a radius is the distance to the k-th nearest of the others", () => {
  expect([...createManifold(points(0, 1, 3, 7), 1).squaredRadii]).toEqual([1, 1, 4, 16]);
  expect([...createManifold(points(0, 1, 3, 7), 2).squaredRadii]).toEqual([9, 4, 9, 36]);
  expect([...createManifold(points(0, 1, 3, 7)).squaredRadii]).toEqual([49, 36, 16, 49]);
});

test("equal vectors are neighbours at distance 0", () => {
  expect([...createManifold(points(2, 2, 2, 9), 2).squaredRadii]).toEqual([0, 0, 0, 49]);
});

test("a ball holds its border and nothing beyond", () => {
  const data = createManifold(points(0, 1, 10, 12), 1); // reaches −1 … 2 and 8 … 14
  expect(coverage(data, points(-1, 2, 8, 14))).toBe(1);
  expect(coverage(data, points(-1.01, 2.01, 7.9, 5))).toBe(0);
  expect(coverage(data, points(0.5, 5))).toBe(0.5);
});

test("samples of one mode of two: all are precise, half is recalled", () => {
  const data = createManifold(points(0, 1, 2, 3, 100, 101, 102, 103));
  const samples = createManifold(points(0.2, 1.2, 2.2, 2.8));
  expect(precisionRecall(data, samples)).toEqual({ precision: 1, recall: 0.5 });
  expect(precisionRecall(samples, data)).toEqual({ precision: 0.5, recall: 1 });
});

test("as few vectors as neighbours, or vectors of two lengths, are a bug of the caller", () => {
  expect(() => createManifold(points(0, 1, 2))).toThrow(/no neighbour number 3/);
  expect(() => coverage(createManifold(points(0, 1), 1), { features: Float32Array.of(0, 0), size: 2 })).toThrow(/length/);
}); // prettier-ignore

describe("of any vectors", () => {
  test("radii and coverage are those of the definition", () => {
    fc.assert(
      fc.property(clouds, clouds, (data, samples) => {
        const indices = (vectors: Vectors) => [...Array(vectors.features.length / 2).keys()];
        const radii = indices(data).map((i) => {
          const others = indices(data).filter((j) => j !== i);
          return others.map((j) => squaredDistance(data, i, data, j)).sort((a, b) => a - b)[2] ?? NaN;
        });
        expect([...createManifold(data).squaredRadii]).toEqual(radii);
        const inside = indices(samples).filter((i) =>
          radii.some((radius, j) => squaredDistance(samples, i, data, j) <= radius),
        );
        expect(coverage(createManifold(data), samples)).toBe(inside.length / indices(samples).length);
      }),
    );
  });

  test("a set covers itself", () => {
    fc.assert(
      fc.property(clouds, (data) => {
        const manifold = createManifold(data);
        expect(precisionRecall(manifold, manifold)).toEqual({ precision: 1, recall: 1 });
      }),
    );
  });
});
