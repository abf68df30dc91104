import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { kMeans } from "../../../stage1-tokenizer/bottleneck/k-means.ts";

/** `each` points around each of the corners of a wide square, noise ± 0.1. */
function corners(each: number): Float32Array {
  const rng = Rng.fromSeed(4);
  const points: number[] = [];
  for (let i = 0; i < each; i++)
    for (const [x, y] of [
      [0, 0],
      [10, 0],
      [0, 10],
      [10, 10],
    ] as const)
      points.push(x + 0.2 * rng.uniform() - 0.1, y + 0.2 * rng.uniform() - 0.1);
  return Float32Array.from(points);
}
const size = { codebookSize: 4, codeDimension: 2 };
const rows = (values: Float32Array): string[] =>
  Array.from(
    { length: values.length / 2 },
    (_, i) => `${Math.round(values[2 * i] ?? NaN)},${Math.round(values[2 * i + 1] ?? NaN)}`,
  ).sort();

describe("kMeans", () => {
  test("finds separated clusters and counts their points", () => {
    const { centroids, counts } = kMeans(corners(25), { ...size, maxPoints: 1000 }, Rng.fromSeed(1));
    expect(rows(centroids)).toEqual(["0,0", "0,10", "10,0", "10,10"].sort());
    expect([...counts]).toEqual([25, 25, 25, 25]);
  });

  test("each centroid is the mean of its points", () => {
    const points = Float32Array.of(0, 1, 2, 3, 100, 102);
    const { centroids } = kMeans(points, { codebookSize: 2, codeDimension: 1 }, Rng.fromSeed(1));
    expect([...centroids].sort((a, b) => a - b)).toEqual([1.5, 101]);
  });

  test("the same stream gives the same clusters; subsampling keeps the number of points asked for", () => {
    const options = { ...size, maxPoints: 20 };
    const once = kMeans(corners(100), options, Rng.fromSeed(1));
    expect(kMeans(corners(100), options, Rng.fromSeed(1))).toEqual(once);
    expect(once.counts.reduce((a, b) => a + b)).toBe(20);
  });

  test("more codes than distinct points: still K finite centroids, every point counted once", () => {
    const { centroids, counts } = kMeans(
      new Float32Array(6).fill(2),
      { codebookSize: 5, codeDimension: 1 },
      Rng.fromSeed(1),
    );
    expect([...centroids]).toEqual([2, 2, 2, 2, 2]);
    expect(counts.reduce((a, b) => a + b)).toBe(6);
  });

  test("a point that is not finite is a numerical error", () => {
    expect(() => kMeans(Float32Array.of(1, NaN), { codebookSize: 2, codeDimension: 1 }, Rng.fromSeed(1))).toThrow(
      /not finite/,
    );
  });
});
