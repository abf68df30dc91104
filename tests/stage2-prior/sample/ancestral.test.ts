/** The ancestral sampler: the contract, and when chance uncovers. */
import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { UNKNOWN } from "../../../shared/tokens.ts";
import { ancestralSteps, sampleAncestral } from "../../../stage2-prior/sample/ancestral.ts";
import { describeSampler, maskedNetwork, watch, type FakeWorld } from "../../contracts/sampler.ts";

describeSampler({
  name: "ancestral",
  steps: (world, options) => ancestralSteps({ ...options, steps: 8, tokensToLogits: maskedNetwork(world, options) }),
  sample: (world, options) => sampleAncestral({ ...options, steps: 8, tokensToLogits: maskedNetwork(world, options) }),
});

const K = 5;
const options = { codebookSize: K, grid: [16, 16], count: 40, rng: Rng.fromSeed(3) } as const;
const flat: FakeWorld = () => [0, 0, 0, 0, 0];
const tokensToLogits = maskedNetwork(flat, options);

test("every step uncovers the same share of the whole, by chance", async () => {
  const uncovered: number[] = [];
  let open = 10_240;
  await watch(ancestralSteps({ ...options, steps: 5, tokensToLogits }), ({ grid }) => {
    const now = grid.tokens.filter((token) => token === UNKNOWN).length;
    uncovered.push(open - now);
    open = now;
  });
  const chiSquare = uncovered.reduce((sum, count) => sum + (count - 2048) ** 2 / 2048, 0);
  expect(chiSquare).toBeLessThan(23.5); // 99.99 % quantile at 4 degrees of freedom
  expect(uncovered).not.toEqual([2048, 2048, 2048, 2048, 2048]);
});

test("positions are uncovered independently: two neighbours together in a quarter of the cases in two steps", async () => {
  let both = 0;
  await watch(ancestralSteps({ ...options, steps: 2, tokensToLogits }), ({ step, grid }) => {
    if (step > 1) return;
    for (let cell = 0; cell < 10_240; cell += 2) {
      both += Number(grid.tokens[cell] !== UNKNOWN && grid.tokens[cell + 1] !== UNKNOWN);
    }
  });
  expect(Math.abs(both - 1280)).toBeLessThan(4 * Math.sqrt(5120 * 0.25 * 0.75));
});

test("more steps than positions are possible; the network is not asked where nothing is uncovered", async () => {
  const small = { ...options, grid: [2, 2], count: 1, steps: 50 } as const;
  let asked = 0;
  const network = maskedNetwork(flat, small);
  const counting = (tokens: Int32Array): Promise<Float32Array> => {
    asked++;
    return network(tokens);
  };
  let steps = 0;
  await watch(ancestralSteps({ ...small, tokensToLogits: counting }), () => steps++);
  expect(steps).toBe(50);
  expect(asked).toBeGreaterThanOrEqual(1);
  expect(asked).toBeLessThanOrEqual(4);
});

test.each([0, -1, 2.5, NaN])("refuses %d steps", async (steps) => {
  await expect(sampleAncestral({ ...options, steps, tokensToLogits })).rejects.toMatchObject({ code: "usage" });
});
