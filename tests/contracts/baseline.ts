/** What every counting prior must do, whatever it counts. Knows no leaf. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import { createCountingNetwork } from "../../stage2-prior/baselines/counting-network.ts";
import {
  fitCounting,
  outside,
  type CountingLeaf,
  type CountingPrior,
  type Counts,
} from "../../stage2-prior/baselines/counting-prior.ts";
import { sampleCausal } from "../../stage2-prior/sample/causal.ts";

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

/** p(token | left, upper) of all K codes. */
export function distributionOf(prior: CountingPrior, codebookSize: number, left: number, upper: number): Float64Array {
  const out = new Float64Array(codebookSize).fill(NaN);
  prior.distribution(left, upper, out);
  return out;
}

/** New grids by the way every prior is sampled. */
export function sampleCounting(
  prior: CountingPrior,
  asked: { codebookSize: number; grid: readonly [number, number]; count: number; seed: number },
): Promise<TokenGrid> {
  const tokensToLogits = createCountingNetwork(prior, asked);
  return sampleCausal({ ...asked, tokensToLogits, rng: Rng.fromSeed(asked.seed) });
}

export function describeCountingPrior(leaf: CountingLeaf): void {
  const fit = (grid: TokenGrid, codebookSize: number): CountingPrior => fitCounting(leaf, grid, codebookSize);
  const refused = expect.objectContaining({ code: "bad-input" }) as Error;

  describe(`counting prior ${leaf.name}`, () => {
    const sized = fc.record({
      codebookSize: fc.integer({ min: 1, max: 12 }),
      seed: fc.nat(),
      images: fc.integer({ min: 1, max: 20 }),
    });
    const fitSized = ({ codebookSize, seed, images }: { codebookSize: number; seed: number; images: number }) =>
      fit(planted([images, 4, 5], 1 + (seed % codebookSize), seed).grid, codebookSize);

    test("says its name", () => {
      expect(fit(noise([1, 2, 2], 3), 3).name).toBe(leaf.name);
    });

    test("gives all K codes more than 0 and in sum 1, in every context, seen, half seen or unseen", () => {
      fc.assert(
        fc.property(sized, (sizes) => {
          const { codebookSize } = sizes;
          const fitted = fitSized(sizes);
          for (let left = 0; left <= outside(codebookSize); left++) {
            for (let upper = 0; upper <= outside(codebookSize); upper++) {
              const row = distributionOf(fitted, codebookSize, left, upper);
              expect(Math.min(...row)).toBeGreaterThan(0);
              expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 9);
            }
          }
        }),
        { numRuns: 40 },
      );
    });

    test("costs a grid what its distribution says of each token", () => {
      fc.assert(
        fc.property(sized, (sizes) => {
          const { codebookSize, seed } = sizes;
          const fitted = fitSized(sizes);
          const held = noise([2, 3, 3], codebookSize, seed + 1);
          const bits = held.tokens.reduce((sum, token, cell) => {
            const [column, row] = [cell % 3, Math.floor(cell / 3) % 3];
            const left = column === 0 ? outside(codebookSize) : (held.tokens[cell - 1] ?? NaN);
            const upper = row === 0 ? outside(codebookSize) : (held.tokens[cell - 3] ?? NaN);
            return sum - Math.log2(distributionOf(fitted, codebookSize, left, upper)[token] ?? NaN);
          }, 0);
          expect(fitted.bitsPerToken(held)).toBeCloseTo(bits / held.tokens.length, 9);
        }),
        { numRuns: 40 },
      );
    });

    test("gives every grid a finite, non-negative number of bits, seen tokens or not", () => {
      const wide = fc.record({
        codebookSize: fc.integer({ min: 1, max: 40 }),
        seed: fc.nat(),
        seen: fc.double({ min: 0, max: 1, noNaN: true }),
      });
      fc.assert(
        fc.property(wide, ({ codebookSize, seed, seen }) => {
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

    test("comes back from its counts exactly, and they from it", () => {
      fc.assert(
        fc.property(sized, (sizes) => {
          const { codebookSize, seed } = sizes;
          const fitted = fitSized(sizes);
          const copy = Object.fromEntries(
            Object.entries(fitted.counts()).map(([name, array]) => [name, array.slice()]),
          );
          const restored = leaf.restore(copy, codebookSize);
          expect(restored.counts()).toEqual(fitted.counts());
          const held = noise([2, 4, 4], codebookSize, seed + 1);
          expect(restored.bitsPerToken(held)).toBe(fitted.bitsPerToken(held));
          for (const context of [0, outside(codebookSize)]) {
            const [one, two] = [restored, fitted].map((prior) => distributionOf(prior, codebookSize, context, context));
            expect(one).toEqual(two);
          }
        }),
        { numRuns: 40 },
      );
    });

    test("refuses counts with an array too many or too few, naming those there should be and the file", () => {
      const counts = fit(noise([3, 4, 4], 5), 5).counts();
      const named = (broken: Counts) => () => leaf.restore(broken, 5, "some/file");
      expect(named({ ...counts, more: new Int32Array(5) })).toThrow(refused);
      expect(named({ ...counts, more: new Int32Array(5) })).toThrow(/some\/file.*more/);
      for (const name of Object.keys(counts)) {
        const fewer = Object.fromEntries(Object.entries(counts).filter(([key]) => key !== name));
        expect(named(fewer), name).toThrow(refused);
        expect(named({ ...counts, [name]: counts[name]?.slice(1) ?? new Int32Array() }), name).toThrow(refused);
        expect(named({ ...counts, [name]: counts[name]?.map(() => -1) ?? new Int32Array() }), name).toThrow(refused);
      }
    });

    test("samples codes in the shape asked for; image i depends on the seed and i alone", async () => {
      const fitted = fit(planted([20, 6, 6], 9).grid, 9);
      const asked = { codebookSize: 9, grid: [5, 7], seed: 4 } as const;
      const many = await sampleCounting(fitted, { ...asked, count: 6 });
      expect(many.shape).toEqual([6, 5, 7]);
      expect(many.tokens.length).toBe(210);
      many.tokens.forEach((token) => expect(token >= 0 && token < 9 && Number.isInteger(token)).toBe(true));
      const few = await sampleCounting(fitted, { ...asked, count: 2 });
      expect([...few.tokens]).toEqual([...many.tokens.subarray(0, 70)]);
      const other = await sampleCounting(fitted, { ...asked, count: 2, seed: 5 });
      expect([...other.tokens]).not.toEqual([...few.tokens]);
    });

    test("draws what it says: shares of sampled tokens behind their neighbours match the distribution", async () => {
      const K = 4;
      const fitted = fit(planted([30, 6, 6], K - 1).grid, K);
      const { tokens } = await sampleCounting(fitted, { codebookSize: K, grid: [2, 2], count: 8000, seed: 8 });
      const seen = new Map<string, Float64Array>();
      for (let image = 0; image < tokens.length; image += 4) {
        const [, upper = 0, left = 0, last = 0] = tokens.subarray(image, image + 4);
        const row = seen.get(`${left},${upper}`) ?? new Float64Array(K);
        row[last] = (row[last] ?? 0) + 1;
        seen.set(`${left},${upper}`, row);
      }
      expect(seen.size).toBeGreaterThan(8);
      for (const [context, row] of seen) {
        const [left = 0, upper = 0] = context.split(",").map(Number);
        const total = row.reduce((sum, count) => sum + count, 0);
        distributionOf(fitted, K, left, upper).forEach((p, token) => {
          const tolerance = 4.5 * Math.sqrt((p * (1 - p)) / total) + 1 / total;
          expect(Math.abs((row[token] ?? 0) / total - p), `${token} behind ${context}`).toBeLessThan(tolerance);
        });
      }
    });

    test("costs its own samples what it costs on average", async () => {
      // E[−log2 p] over samples is the entropy, so that a second draw of the same size must cost nearly the same.
      const fitted = fit(planted([200, 8, 8], 5).grid, 5);
      const asked = { codebookSize: 5, grid: [8, 8], count: 400 } as const;
      const one = fitted.bitsPerToken(await sampleCounting(fitted, { ...asked, seed: 1 }));
      const two = fitted.bitsPerToken(await sampleCounting(fitted, { ...asked, seed: 2 }));
      expect(Math.abs(one - two)).toBeLessThan(0.03);
    });

    test.each<[string, TokenGrid]>([
      ["no token at all", { tokens: new Int32Array(0), shape: [0, 4, 4] }],
      ["a token K", { tokens: Int32Array.of(0, 1, 2, 3), shape: [1, 2, 2] }],
      ["an open position", { tokens: Int32Array.of(0, 1, 2, UNKNOWN), shape: [1, 2, 2] }],
      ["tokens that do not fill their shape", { tokens: Int32Array.of(0, 1, 2), shape: [1, 2, 2] }],
    ])("refuses %s, in counting and in measuring", (_, wrong) => {
      expect(() => leaf.count(wrong, 3)).toThrow(refused);
      expect(() => fit(noise([1, 2, 2], 3), 3).bitsPerToken(wrong)).toThrow(refused);
    });
  });
}
