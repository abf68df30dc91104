/** Divergences: by hand on small grids, and what holds of any two. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import type { TokenGrid } from "../../../shared/tokens.ts";
import { countPairs, countTokens, jensenShannon } from "../../../stage2-prior/judge/divergence.ts";

const K = 5;

const gridOf = (shape: TokenGrid["shape"], ...tokens: readonly number[]): TokenGrid => ({
  tokens: Int32Array.from(tokens),
  shape,
});
const counted = ({ keys, counts }: { keys: Float64Array; counts: Float64Array }): [number, number][] =>
  Array.from(keys, (key, i) => [key, counts[i] ?? 0]);

const grids = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 2, max: 4 }))
  .chain(([count, height, width]) =>
    fc
      .array(fc.integer({ min: 0, max: K - 1 }), {
        minLength: count * height * width,
        maxLength: count * height * width,
      })
      .map((tokens) => gridOf([count, height, width], ...tokens)),
  );

describe("counts", () => {
  test("of tokens: two of one, one of another", () => {
    expect(counted(countTokens(gridOf([1, 1, 3], 4, 1, 4), K))).toEqual([
      [1, 1],
      [4, 2],
    ]);
  });

  test("of pairs: across before down, none from one image to the next", () => {
    // 0 1 | 1 1
    // 0 1 | 1 1
    const pairs = countPairs(gridOf([2, 2, 2], 0, 1, 0, 1, 1, 1, 1, 1), K);
    const [across, down] = [(a: number, b: number) => a * K + b, (a: number, b: number) => (K + a) * K + b];
    expect(counted(pairs)).toEqual([
      [across(0, 1), 2],
      [across(1, 1), 2],
      [down(0, 0), 1],
      [down(1, 1), 3],
    ]);
  });

  test("of more keys than are sorted at a time are complete", () => {
    const rng = Rng.fromSeed(1);
    const tokens = Int32Array.from({ length: 300_000 }, () => rng.integer(7));
    const { keys, counts } = countTokens({ tokens, shape: [3, 100, 1000] }, 7);
    expect([...keys]).toEqual([0, 1, 2, 3, 4, 5, 6]);
    [...counts].forEach((count, token) => expect(count).toBe(tokens.filter((other) => other === token).length));
  });

  test("of ids that are no codes are refused", () => {
    expect(() => countTokens(gridOf([1, 1, 1], K), K)).toThrow(/not an id/);
    expect(() => countPairs(gridOf([1, 1, 1], -1), K)).toThrow(/not an id/);
  });

  test("a grid has h(w−1) + (h−1)w pairs", () => {
    fc.assert(
      fc.property(grids, (grid) => {
        const [count, height, width] = grid.shape;
        const total = countPairs(grid, K).counts.reduce((sum, more) => sum + more, 0);
        expect(total).toBe(count * (height * (width - 1) + (height - 1) * width));
      }),
    );
  });
});

describe("the Jensen–Shannon divergence", () => {
  test("by hand: (1, 0) against (½, ½) is ½ log₂ 4/3 + ½ (½ log₂ 2/3 + ½ log₂ 2)", () => {
    const [p, q] = [countTokens(gridOf([1, 1, 1], 0), K), countTokens(gridOf([1, 1, 2], 0, 1), K)];
    const expected = 0.5 * Math.log2(4 / 3) + 0.25 * Math.log2(2 / 3) + 0.25;
    expect(jensenShannon(p, q)).toBeCloseTo(expected, 12);
  });

  test("is 1 bit of distributions that share nothing, NaN where nothing was counted", () => {
    const [p, q] = [countTokens(gridOf([1, 1, 2], 0, 2), K), countTokens(gridOf([1, 1, 2], 1, 3), K)];
    expect(jensenShannon(p, q)).toBe(1);
    expect(jensenShannon(p, countPairs(gridOf([2, 1, 1], 0, 1), K))).toBeNaN();
  });

  test("is 0 of a distribution and itself however often counted, symmetric, and within 0 … 1", () => {
    fc.assert(
      fc.property(grids, grids, (a, b) => {
        for (const count of [countTokens, countPairs]) {
          const [p, q] = [count(a, K), count(b, K)];
          expect(jensenShannon(p, { ...p, counts: p.counts.map((times) => 3 * times) })).toBeCloseTo(0, 12);
          expect(jensenShannon(p, q)).toBeCloseTo(jensenShannon(q, p), 12);
          expect(jensenShannon(p, q)).toBeGreaterThanOrEqual(0);
          expect(jensenShannon(p, q)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  test("of pairs sees order that tokens alone do not show", () => {
    const [sorted, mixed] = [gridOf([1, 1, 4], 0, 0, 1, 1), gridOf([1, 1, 4], 0, 1, 0, 1)];
    expect(jensenShannon(countTokens(sorted, K), countTokens(mixed, K))).toBe(0);
    expect(jensenShannon(countPairs(sorted, K), countPairs(mixed, K))).toBeGreaterThan(0.3);
  });
});
