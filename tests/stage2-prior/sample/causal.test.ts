/** The causal sampler: the contract, and what raster order adds. */
import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../../../shared/tokens.ts";
import { causalSteps, sampleCausal } from "../../../stage2-prior/sample/causal.ts";
import { causalNetwork, describeSampler, type FakeWorld } from "../../contracts/sampler.ts";

describeSampler({
  name: "causal",
  steps: (world, options) => causalSteps({ ...options, tokensToLogits: causalNetwork(world, options) }),
  sample: (world, options) => sampleCausal({ ...options, tokensToLogits: causalNetwork(world, options) }),
});

const K = 5;
const options = { codebookSize: K, grid: [4, 4], count: 2, rng: Rng.fromSeed(3) } as const;
const chain: FakeWorld = (tokens, position) =>
  Array.from({ length: K }, (_, k) => Math.cos(k * 2.3 + (tokens[position - 1] ?? K) * 1.9));

test("going on from a known prefix gives what drawing the prefix would have given", async () => {
  const whole = await sampleCausal({ ...options, tokensToLogits: causalNetwork(chain, options) });
  for (const prefix of [1, 5, 15]) {
    const tokens = whole.tokens.map((token, cell) => (cell % 16 < prefix ? token : UNKNOWN));
    const known: TokenGrid = { tokens, shape: whole.shape };
    const resumed = await sampleCausal({ ...options, known, tokensToLogits: causalNetwork(chain, options) });
    expect([...resumed.tokens]).toEqual([...whole.tokens]);
  }
});

test("a prefix known in every image is fed in one call, each token once", async () => {
  const widths: number[] = [];
  const tokens = new Int32Array(32).fill(UNKNOWN);
  for (const start of [0, 16]) tokens.fill(1, start, start + 6).fill(1, start + 9, start + 11);
  const network = causalNetwork(chain, options);
  await sampleCausal({
    ...options,
    known: { tokens, shape: [2, 4, 4] },
    tokensToLogits: (previous) => {
      widths.push(previous.length / 2);
      return network(previous);
    },
  });
  expect(widths).toEqual([7, 1, 1, 3, 1, 1, 1, 1]);
});

test("neighbours have the network's conditional distribution", async () => {
  const many = { ...options, grid: [16, 16], count: 40 } as const;
  const { tokens } = await sampleCausal({ ...many, tokensToLogits: causalNetwork(chain, many) });
  const counts = new Float64Array(K * K);
  tokens.forEach((token, cell) => {
    if (cell % 256 === 0) return;
    const pair = (tokens[cell - 1] ?? 0) * K + token;
    counts[pair] = (counts[pair] ?? 0) + 1;
  });
  for (let left = 0; left < K; left++) {
    const row = counts.subarray(left * K, (left + 1) * K);
    const seen = row.reduce((sum, count) => sum + count, 0);
    const weights = chain(Int32Array.of(left), 1).map(Math.exp);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const chiSquare = weights.reduce((sum, weight, k) => {
      const expected = (seen * weight) / total;
      return sum + ((row[k] ?? 0) - expected) ** 2 / expected;
    }, 0);
    expect(chiSquare).toBeLessThan(23.5); // 99.99 % quantile at 4 degrees of freedom
  }
});
