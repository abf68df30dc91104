/** The Halton sampler: the contract, the order itself, and that steps follow it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { UNKNOWN } from "../../../shared/tokens.ts";
import { MASK_SCHEDULES, uncoverCounts } from "../../../stage2-prior/mask-schedule.ts";
import { haltonOrder, haltonSteps, sampleHalton } from "../../../stage2-prior/sample/halton.ts";
import { describeSampler, maskedNetwork, watch, type FakeWorld } from "../../contracts/sampler.ts";

const schedule = MASK_SCHEDULES.cosine;
const leaf = { steps: 12, schedule } as const;

describeSampler({
  name: "halton",
  steps: (world, options) => haltonSteps({ ...options, ...leaf, tokensToLogits: maskedNetwork(world, options) }),
  sample: (world, options) => sampleHalton({ ...options, ...leaf, tokensToLogits: maskedNetwork(world, options) }),
});

test("2,292 points of the sequence cover 32×32", () => {
  const { order, points } = haltonOrder([32, 32]);
  expect(points).toBe(2292);
  expect(order).toHaveLength(1024);
});

test("the first points are (1/2, 1/3), (1/4, 2/3), (3/4, 1/9), (1/8, 4/9), …, edges exact", () => {
  // Rows ⌊8φ₂⌋ 4, 2, 6, 1, 5; columns ⌊9φ₃⌋ 3, 6, 1, 4, 7.
  expect([...haltonOrder([8, 9]).order.subarray(0, 5)]).toEqual([4 * 9 + 3, 2 * 9 + 6, 6 * 9 + 1, 9 + 4, 5 * 9 + 7]);
});

test("every cell of any grid comes exactly once", () => {
  const side = fc.integer({ min: 1, max: 20 });
  const property = fc.property(side, side, (height, width) => {
    const sorted = [...haltonOrder([height, width]).order].sort((a, b) => a - b);
    expect(sorted).toEqual(Array.from({ length: height * width }, (_, i) => i));
  });
  fc.assert(property, { numRuns: 60 });
});

test("any beginning of the order is spread: no quarter of the grid has four more than its share", () => {
  const quarters = [0, 0, 0, 0];
  haltonOrder([32, 32])
    .order.subarray(0, 200)
    .forEach((position, i) => {
      const quarter = 2 * Number(position >= 512) + Number(position % 32 >= 16);
      quarters[quarter] = (quarters[quarter] ?? 0) + 1;
      expect(Math.max(...quarters)).toBeLessThan((i + 1) / 4 + 4);
    });
});

const K = 5;
const options = { codebookSize: K, grid: [6, 6], count: 2, rng: Rng.fromSeed(3), steps: 7, schedule } as const;
const flat: FakeWorld = () => [0, 0, 0, 0, 0];
const tokensToLogits = maskedNetwork(flat, options);

test("steps take the open positions in order, as many as the schedule says, known ones passed over", async () => {
  const known = { tokens: new Int32Array(72).fill(UNKNOWN), shape: [2, 6, 6] } as const;
  known.tokens.fill(2, 36, 50);
  const added: number[][][] = [[], []];
  let before = Int32Array.from(known.tokens);
  await watch(haltonSteps({ ...options, known, tokensToLogits }), ({ grid }) => {
    added.forEach((steps, image) => {
      const own = [...Array(36).keys()].map((position) => image * 36 + position);
      steps.push(own.filter((cell) => grid.tokens[cell] !== before[cell]).map((cell) => cell % 36));
    });
    before = Int32Array.from(grid.tokens);
  });
  added.forEach((steps, image) => {
    const left = [...haltonOrder([6, 6]).order].filter((position) => known.tokens[image * 36 + position] === UNKNOWN);
    const counts = [...uncoverCounts(left.length, 7, schedule)];
    expect(steps).toEqual(counts.map((count) => left.splice(0, count).sort((a, b) => a - b)));
  });
});

test.each([0, 2.5, NaN, 37])("refuses %d steps for 36 positions", async (steps) => {
  await expect(sampleHalton({ ...options, steps, tokensToLogits })).rejects.toMatchObject({ code: "usage" });
});
