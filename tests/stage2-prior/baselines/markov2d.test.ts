/** The two-neighbour prior: the contract, a planted source found, damaged counts, and the order of the three priors. */
import { describe, expect, test } from "vitest";
import type { TokenGrid } from "../../../shared/tokens.ts";
import { COUNTING_PRIORS } from "../../../stage2-prior/baselines/index.ts";
import { fitCounting, type CountingPrior, type Counts } from "../../../stage2-prior/baselines/counting-prior.ts";
import { markov2d } from "../../../stage2-prior/baselines/markov2d.ts";
import { describeCountingPrior, noise, planted, sampleCounting } from "../../contracts/baseline.ts";

describeCountingPrior(markov2d);

const fitMarkov2d = (grid: TokenGrid, codebookSize: number): CountingPrior => fitCounting(markov2d, grid, codebookSize);

test("counts triples of left, upper and token, ascending, with K beyond the border", () => {
  const grid = { tokens: Int32Array.of(1, 0, 1, 0, 1, 0, 1, 0), shape: [2, 2, 2] } as const;
  expect(markov2d.count(grid, 2)).toEqual({
    left: Int32Array.of(1, 1, 2, 2),
    upper: Int32Array.of(0, 2, 1, 2),
    token: Int32Array.of(0, 0, 1, 1),
    count: Int32Array.of(2, 2, 2, 2),
  });
});

describe("counts out of a damaged file are bad input (3), with the entry:", () => {
  const whole = markov2d.count(noise([20, 4, 4], 5), 5);
  const changed = (name: string, entry: number, value: number): Counts => ({
    ...whole,
    [name]: whole[name]?.map((old, i) => (i === entry ? value : old)) ?? new Int32Array(),
  });
  test.each<[string, Counts, RegExp]>([
    ["a left neighbour beyond the border", changed("left", 3, 6), /f: left: entry 3.*0 … 5.*6/],
    ["an upper one below 0", changed("upper", 2, -1), /f: upper: entry 2.*-1/],
    ["a token K", changed("token", 4, 5), /f: token: entry 4.*0 … 4.*5/],
    ["a count of nothing", changed("count", 1, 0), /f: count: entry 1/],
    ["a triple twice or out of order", changed("left", 0, 5), /f: entry 1 does not follow/],
    ["an array that is shorter", { ...whole, token: whole["token"]?.slice(1) ?? new Int32Array() }, /f: token/],
  ])("%s", (_what, counts, message) => {
    const restore = () => markov2d.restore(counts, 5, "f");
    expect(restore).toThrow(expect.objectContaining({ code: "bad-input" }) as Error);
    expect(restore).toThrow(message);
  });

  test("and a K whose triples are no longer exact", () => {
    expect(() => markov2d.restore(whole, 2 ** 18, "f")).toThrow(/too many codes.*262144/);
    expect(() => markov2d.count(noise([1, 2, 2], 5), 2 ** 18)).toThrow(/too many codes/);
  });
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

test("its samples cost about what the source's own grids cost", async () => {
  const { grid } = planted([1500, 16, 16], 8);
  const fitted = fitMarkov2d(grid, 8);
  const samples = await sampleCounting(fitted, { codebookSize: 8, count: 100, grid: [16, 16], seed: 3 });
  expect(Math.abs(fitted.bitsPerToken(samples) - fitted.bitsPerToken(grid))).toBeLessThan(0.1);
});

test("each prior of the list, weakest first, beats the one before it on tokens with structure", () => {
  const skewed = (seed: number) => {
    const { grid } = planted([100, 16, 16], 16, seed);
    return { ...grid, tokens: grid.tokens.map((token) => Math.floor((token * token) / 16)) };
  };
  const bits = Object.values(COUNTING_PRIORS).map((leaf) => fitCounting(leaf, skewed(5), 16).bitsPerToken(skewed(6)));
  expect(bits.length).toBe(3);
  expect(bits[0]).toBeGreaterThan(bits[1] ?? NaN);
  expect(bits[1]).toBeGreaterThan((bits[2] ?? NaN) + 0.5);
});
