/** What every counting prior must do, whatever it counts. Knows no leaf. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import type { FitCountingPrior } from "../../stage2-prior/baselines/counting-prior.ts";

export interface CountingPriorLeaf {
  readonly name: string;
  readonly fit: FitCountingPrior;
}

/** `count` grids of independent tokens, uniform over the first `codes` codes. */
export function noise(shape: TokenGrid["shape"], codes: number, seed = 1): TokenGrid {
  const rng = Rng.fromSeed(seed);
  const length = shape[0] * shape[1] * shape[2];
  return { tokens: Int32Array.from({ length }, () => rng.integer(codes)), shape };
}

/**
 * A planted source: a token equals the left one, the upper one or a new one by chance, so that both neighbours matter.
 * @returns the grids, and the entropy rate in bits that only a prior of both neighbours can reach, borders included
 */
export function planted(shape: TokenGrid["shape"], codes: number, seed = 2): { grid: TokenGrid; bits: number } {
  const [count, height, width] = shape;
  const rng = Rng.fromSeed(seed);
  const tokens = new Int32Array(count * height * width);
  const shares = { left: 0.5, upper: 0.3, fresh: 0.2 };
  let bits = 0;
  for (let cell = 0; cell < tokens.length; cell++) {
    const fresh = rng.integer(codes);
    const left = cell % width === 0 ? undefined : tokens[cell - 1];
    const upper = Math.floor(cell / width) % height === 0 ? undefined : tokens[cell - width];
    const pick = rng.uniform();
    const token = (pick < shares.left ? left : pick < shares.left + shares.upper ? upper : undefined) ?? fresh;
    tokens[cell] = token;
    const lost = (left === undefined ? shares.left : 0) + (upper === undefined ? shares.upper : 0) + shares.fresh;
    bits -= Math.log2(
      (left === token ? shares.left : 0) + (upper === token ? shares.upper : 0) + lost / codes, // p(token | left, upper)
    );
  }
  return { grid: { tokens, shape }, bits: bits / tokens.length };
}

export function describeCountingPrior({ name, fit }: CountingPriorLeaf): void {
  describe(`counting prior ${name}`, () => {
    test("says its name", () => {
      expect(fit(noise([1, 2, 2], 3), 3).name).toBe(name);
    });

    test("gives every grid a finite, non-negative number of bits, seen tokens or not", () => {
      const sized = fc.record({
        codebookSize: fc.integer({ min: 1, max: 40 }),
        seed: fc.nat(),
        seen: fc.double({ min: 0, max: 1, noNaN: true }),
      });
      fc.assert(
        fc.property(sized, ({ codebookSize, seed, seen }) => {
          const fitted = fit(noise([2, 3, 4], 1 + Math.floor(seen * (codebookSize - 1)), seed), codebookSize);
          const bits = fitted.bitsPerToken(noise([3, 5, 2], codebookSize, seed + 1));
          expect(Number.isFinite(bits)).toBe(true);
          expect(bits).toBeGreaterThanOrEqual(0);
        }),
      );
    });

    test("cannot beat the entropy of independent uniform tokens it has not seen", () => {
      const fitted = fit(noise([40, 8, 8], 4, 1), 4);
      expect(fitted.bitsPerToken(noise([40, 8, 8], 4, 2))).toBeGreaterThan(1.99);
    });

    test("samples codes in the shape asked for; image i depends on the seed and i alone", () => {
      const fitted = fit(planted([20, 6, 6], 9).grid, 9);
      const many = fitted.sample({ count: 6, grid: [5, 7], rng: Rng.fromSeed(4) });
      expect(many.shape).toEqual([6, 5, 7]);
      expect(many.tokens.length).toBe(210);
      many.tokens.forEach((token) => expect(token >= 0 && token < 9 && Number.isInteger(token)).toBe(true));
      const few = fitted.sample({ count: 2, grid: [5, 7], rng: Rng.fromSeed(4) });
      expect([...few.tokens]).toEqual([...many.tokens.subarray(0, 70)]);
      const other = fitted.sample({ count: 2, grid: [5, 7], rng: Rng.fromSeed(5) });
      expect([...other.tokens]).not.toEqual([...few.tokens]);
    });

    test("costs its own samples what it costs on average", () => {
      // E[−log2 p] over samples is the entropy, so that a second draw of the same size must cost nearly the same.
      const fitted = fit(planted([200, 8, 8], 5).grid, 5);
      const [one, two] = [1, 2].map((seed) =>
        fitted.bitsPerToken(fitted.sample({ count: 400, grid: [8, 8], rng: Rng.fromSeed(seed) })),
      );
      expect(Math.abs((one ?? NaN) - (two ?? NaN))).toBeLessThan(0.03);
    });

    test.each<[string, TokenGrid]>([
      ["no token at all", { tokens: new Int32Array(0), shape: [0, 4, 4] }],
      ["a token K", { tokens: Int32Array.of(0, 1, 2, 3), shape: [1, 2, 2] }],
      ["an open position", { tokens: Int32Array.of(0, 1, 2, UNKNOWN), shape: [1, 2, 2] }],
      ["tokens that do not fill their shape", { tokens: Int32Array.of(0, 1, 2), shape: [1, 2, 2] }],
    ])("refuses %s, in counting and in measuring", (_, wrong) => {
      const refused = expect.objectContaining({ code: "bad-input" }) as Error;
      expect(() => fit(wrong, 3)).toThrow(refused);
      expect(() => fit(noise([1, 2, 2], 3), 3).bitsPerToken(wrong)).toThrow(refused);
    });
  });
}
