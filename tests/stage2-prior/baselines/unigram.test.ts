/** The unigram prior: the contract, and the entropy of independent tokens. */
import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import type { TokenGrid } from "../../../shared/tokens.ts";
import { fitCounting } from "../../../stage2-prior/baselines/counting-prior.ts";
import { unigram } from "../../../stage2-prior/baselines/unigram.ts";
import { describeCountingPrior, sampleCounting } from "../../contracts/baseline.ts";

describeCountingPrior(unigram);

/** Halves: code k has probability 2^−(k+1), the last one what remains; entropy 1.9375 bits at K = 6. */
function halves(seed: number): TokenGrid {
  const rng = Rng.fromSeed(seed);
  const tokens = Int32Array.from({ length: 25_600 }, () => Math.min(Math.floor(-Math.log2(1 - rng.uniform())), 5));
  return { tokens, shape: [100, 16, 16] };
}

test("finds the entropy of independent tokens, on tokens it has not counted", () => {
  expect(fitCounting(unigram, halves(1), 6).bitsPerToken(halves(2))).toBeCloseTo(1.9375, 1);
});

test("counts exactly: two of one code, one of another, one never", () => {
  const fitted = fitCounting(unigram, { tokens: Int32Array.of(0, 0, 1), shape: [1, 1, 3] }, 3);
  const bitsOf = (token: number): number => fitted.bitsPerToken({ tokens: Int32Array.of(token), shape: [1, 1, 1] });
  [2.5, 1.5, 0.5].forEach((share, token) => expect(2 ** -bitsOf(token) * 4.5).toBeCloseTo(share, 9));
});

test("samples as often as it counted", async () => {
  const asked = { codebookSize: 6, count: 100, grid: [16, 16], seed: 9 } as const;
  const { tokens } = await sampleCounting(fitCounting(unigram, halves(1), 6), asked);
  for (let k = 0; k < 5; k++) {
    const share = tokens.filter((token) => token === k).length / tokens.length;
    expect(Math.abs(share - 2 ** -(k + 1))).toBeLessThan(0.015);
  }
});
