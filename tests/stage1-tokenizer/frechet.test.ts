/** The distance against closed forms, and the streamed moments against those of the whole set. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { createGaussianMeter, frechetDistance, type Gaussian } from "../../stage1-tokenizer/frechet.ts";

const gaussian = (mean: readonly number[], covariance: readonly number[]): Gaussian => ({
  count: 100,
  mean: Float64Array.from(mean),
  covariance: Float64Array.from(covariance),
});
const diagonal = (mean: readonly number[], deviations: readonly number[]): Gaussian =>
  gaussian(mean, deviations.flatMap((s, i) => deviations.map((_, j) => (i === j ? s * s : 0)))); // prettier-ignore

/** Moments of rows [N, F] added in batches of `batch` rows. */
function momentsOf(rows: readonly (readonly number[])[], batch = rows.length): Gaussian {
  const meter = createGaussianMeter();
  for (let start = 0; start < rows.length; start += batch) {
    meter.add(Float32Array.from(rows.slice(start, start + batch).flat()), rows[0]?.length ?? 0);
  }
  return meter.gaussian();
}
const draw = (count: number, size: number, seed: number): number[][] =>
  Array.from({ length: count }, (_, i) => {
    const row = Rng.fromSeed(seed).fork("row", i).fill(size, (rng) => Math.fround(rng.normal()));
    return Array.from(row, (value, j) => Math.fround(value + (row[0] ?? 0) * (j % 3)));
  }); // prettier-ignore

describe("the distance", () => {
  test("of diagonal Gaussians is that of means and of deviations", () => {
    const vector = fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(vector, vector, vector, vector, (mean, otherMean, s, t) => {
        const squares = mean.map((m, i) => (m - (otherMean[i] ?? 0)) ** 2 + (Math.abs(s[i] ?? 0) - Math.abs(t[i] ?? 0)) ** 2);
        const expected = squares.reduce((a, b) => a + b, 0);
        expect(Math.abs(frechetDistance(diagonal(mean, s), diagonal(otherMean, t)) - expected)).toBeLessThan(1e-4);
      }),
      { numRuns: 200 },
    );
  }); // prettier-ignore

  test("of correlated pairs, by hand: Tr √M = √(Tr M + 2 √det M) for 2×2", () => {
    // Σ₁Σ₂ = [[2, 1], [1, 2]] · [[3, −1], [−1, 1]] = [[5, −1], [1, 1]]: trace 6, determinant 3 · 2 = 6.
    const [a, b] = [gaussian([1, 2], [2, 1, 1, 2]), gaussian([0, 4], [3, -1, -1, 1])];
    expect(frechetDistance(a, b)).toBeCloseTo(1 + 4 + (4 + 4 - 2 * Math.sqrt(6 + 2 * Math.sqrt(6))), 10);
    // Perfectly correlated against independent: Σ₁Σ₂ has rank one, trace 2, determinant 0.
    const [line, round] = [gaussian([0, 0], [1, 1, 1, 1]), gaussian([0, 0], [1, 0, 0, 1])];
    expect(frechetDistance(line, round)).toBeCloseTo(4 - 2 * Math.sqrt(2), 7);
  });

  test("is 0 of a set to itself, symmetric, never negative, and grows by the square of a shift", () => {
    const [a, b] = [momentsOf(draw(40, 6, 1)), momentsOf(draw(30, 6, 2))];
    expect(frechetDistance(a, a)).toBeCloseTo(0, 6);
    expect(frechetDistance(a, b)).toBeGreaterThan(0.01);
    expect(frechetDistance(a, b)).toBeCloseTo(frechetDistance(b, a), 9);
    const shifted = { ...a, mean: a.mean.map((m, i) => m + i) };
    expect(frechetDistance(a, shifted)).toBeCloseTo(55, 6); // 0 + 1 + 4 + 9 + 16 + 25
  });

  test("stands covariances that are singular: fewer vectors than features, and features that never vary", () => {
    const few = draw(5, 20, 3).map((row) => row.map((value, j) => (j < 4 ? 7 : value)));
    const a = momentsOf(few);
    expect(frechetDistance(a, a)).toBeLessThan(1e-5);
    const b = momentsOf(few.map((row) => row.map((value) => 2 * value)));
    // Deviations double, so √Σ does: Tr Σ(1 + 4 − 2·2) and the means' own distance.
    const trace = a.mean.reduce((sum, _, i) => sum + (a.covariance[i * 21] ?? 0), 0);
    const means = a.mean.reduce((sum, m) => sum + m * m, 0);
    expect(frechetDistance(a, b)).toBeCloseTo(trace + means, 4);
  });

  test("of vectors of two lengths is refused", () => {
    expect(() => frechetDistance(gaussian([0], [1]), diagonal([0, 0], [1, 1]))).toThrow(/got 1 and 2/);
  });
});

describe("the moments", () => {
  test("by hand: unbiased, symmetric", () => {
    const { count, mean, covariance } = momentsOf([[1, 2], [3, 2], [5, 8]]); // prettier-ignore
    expect(count).toBe(3);
    expect([...mean]).toEqual([3, 4]);
    expect([...covariance]).toEqual([4, 6, 6, 12]);
  });

  test.each([1, 2, 7, 50])("do not depend on batches (of %d)", (batch) => {
    const rows = draw(50, 5, 4);
    const [whole, parts] = [momentsOf(rows), momentsOf(rows, batch)];
    for (const [i, value] of whole.mean.entries()) expect(parts.mean[i]).toBeCloseTo(value, 12);
    for (const [i, value] of whole.covariance.entries()) expect(parts.covariance[i]).toBeCloseTo(value, 12);
  });

  test("survive a mean that is a million deviations large", () => {
    const rows = draw(64, 3, 5).map((row) => row.map((value) => Math.fround(Math.round(value * 16) / 16)));
    const far = momentsOf(rows.map((row) => row.map((value) => value + 1e6)), 10); // prettier-ignore
    const near = momentsOf(rows);
    for (const [i, value] of near.covariance.entries()) expect(far.covariance[i]).toBeCloseTo(value, 9);
  });

  test("of fewer than two vectors are bad input (3); vectors of another length are refused", () => {
    const meter = createGaussianMeter();
    expect(() => meter.gaussian()).toThrow(/at least 2, got 0/);
    meter.add(Float32Array.of(1, 2), 2);
    meter.add(new Float32Array(0), 2);
    expect(() => meter.gaussian()).toThrow(expect.objectContaining({ exitCode: 3 }));
    expect(() => meter.add(Float32Array.of(1, 2, 3), 3)).toThrow(/2 features/);
    expect(() => meter.add(Float32Array.of(1, 2, 3), 2)).toThrow(/3 values/);
  });
});
