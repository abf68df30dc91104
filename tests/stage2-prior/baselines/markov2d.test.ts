/** The two-neighbour prior: the contract, sums of 1, a planted source found, and the order of the three priors. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { COUNTING_PRIORS } from "../../../stage2-prior/baselines/index.ts";
import { outside } from "../../../stage2-prior/baselines/counting-prior.ts";
import { fitMarkov2d } from "../../../stage2-prior/baselines/markov2d.ts";
import { describeCountingPrior, noise, planted } from "../../contracts/baseline.ts";

describeCountingPrior({ name: "markov2d", fit: fitMarkov2d });

test("probabilities of all codes sum to 1 in every context, seen, half seen or unseen", () => {
  const fits = fc.record({
    codebookSize: fc.integer({ min: 1, max: 12 }),
    seed: fc.nat(),
    images: fc.integer({ min: 1, max: 20 }),
  });
  fc.assert(
    fc.property(fits, ({ codebookSize, seed, images }) => {
      const codes = 1 + (seed % codebookSize);
      const fitted = fitMarkov2d(planted([images, 4, 5], codes, seed).grid, codebookSize);
      for (let left = 0; left <= outside(codebookSize); left++) {
        for (let upper = 0; upper <= outside(codebookSize); upper++) {
          const row = Array.from({ length: codebookSize }, (_, token) => fitted.probability(token, left, upper));
          expect(Math.min(...row)).toBeGreaterThan(0);
          expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 9);
        }
      }
    }),
    { numRuns: 40 },
  );
});

test("comes within 0.05 bits of a planted source's entropy, on grids it has not counted", () => {
  const held = planted([200, 16, 16], 8, 77);
  const bits = fitMarkov2d(planted([1500, 16, 16], 8).grid, 8).bitsPerToken(held.grid);
  expect(bits).toBeGreaterThan(held.bits - 0.005);
  expect(bits).toBeLessThan(held.bits + 0.05);
});

test("where nothing but one neighbour tells, it needs no more than that neighbour", () => {
  // The left token decides; upper ones are noise, so that most pairs of a large codebook are seen rarely or never.
  const source = (seed: number) => {
    const grid = noise([60, 16, 16], 200, seed);
    for (let cell = 0; cell < grid.tokens.length; cell++)
      if (cell % 2 === 1) grid.tokens[cell] = ((grid.tokens[cell - 1] ?? 0) * 7 + 3) % 200;
    return grid;
  };
  const fitted = fitMarkov2d(source(1), 200);
  // Half the tokens are free (log2 200 = 7.64 bits), half are certain; a prior without neighbours pays 7.64 for each.
  expect(fitted.bitsPerToken(source(2))).toBeLessThan(6);
});

test("draws what it says: shares of sampled tokens behind a context match its probabilities", () => {
  const fitted = fitMarkov2d(planted([30, 6, 6], 5).grid, 6);
  const { tokens } = fitted.sample({ count: 30_000, grid: [1, 2], rng: Rng.fromSeed(8) });
  for (let first = 0; first < 5; first++) {
    const behind = tokens.filter((_, cell) => cell % 2 === 1 && tokens[cell - 1] === first);
    for (let second = 0; second < 6; second++) {
      const p = fitted.probability(second, first, outside(6));
      const share = behind.filter((token) => token === second).length / behind.length;
      expect(Math.abs(share - p)).toBeLessThan(4.5 * Math.sqrt((p * (1 - p)) / behind.length) + 1e-9);
    }
  }
});

test("its samples cost about what the source's own grids cost", () => {
  const { grid } = planted([1500, 16, 16], 8);
  const fitted = fitMarkov2d(grid, 8);
  const samples = fitted.sample({ count: 100, grid: [16, 16], rng: Rng.fromSeed(3) });
  expect(Math.abs(fitted.bitsPerToken(samples) - fitted.bitsPerToken(grid))).toBeLessThan(0.1);
});

test("each prior of the list, weakest first, beats the one before it on tokens with structure", () => {
  const skewed = (seed: number) => {
    const { grid } = planted([100, 16, 16], 16, seed);
    return { ...grid, tokens: grid.tokens.map((token) => Math.floor((token * token) / 16)) };
  };
  const bits = Object.values(COUNTING_PRIORS).map((fit) => fit(skewed(5), 16).bitsPerToken(skewed(6)));
  expect(bits.length).toBe(3);
  expect(bits[0]).toBeGreaterThan(bits[1] ?? NaN);
  expect(bits[1]).toBeGreaterThan((bits[2] ?? NaN) + 0.5);
});
