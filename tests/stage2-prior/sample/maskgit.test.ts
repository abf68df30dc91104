/** The MaskGIT sampler: the contract for both ends of its choice noise, and what the schedule adds. */
import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { UNKNOWN } from "../../../shared/tokens.ts";
import { MASK_SCHEDULES, uncoverCounts } from "../../../stage2-prior/mask-schedule.ts";
import { maskgitSteps, sampleMaskgit, type MaskgitOptions } from "../../../stage2-prior/sample/maskgit.ts";
import { describeSampler, maskedNetwork, watch, type FakeWorld } from "../../contracts/sampler.ts";

const schedule = MASK_SCHEDULES.cosine;

describeSampler({
  name: "maskgit, surest first",
  biased: "keeping the surest draws prefers likely codes",
  steps: (world, options) =>
    maskgitSteps({ ...options, steps: 6, schedule, tokensToLogits: maskedNetwork(world, options) }),
  sample: (world, options) =>
    sampleMaskgit({ ...options, steps: 6, schedule, tokensToLogits: maskedNetwork(world, options) }),
});

const randomOrder = { steps: 12, schedule: MASK_SCHEDULES.linear, choiceTemperature: 1e12 } as const;
describeSampler({
  name: "maskgit, random order",
  steps: (world, options) =>
    maskgitSteps({ ...options, ...randomOrder, tokensToLogits: maskedNetwork(world, options) }),
  sample: (world, options) =>
    sampleMaskgit({ ...options, ...randomOrder, tokensToLogits: maskedNetwork(world, options) }),
});

const K = 5;
const options = { codebookSize: K, grid: [6, 6], count: 3, rng: Rng.fromSeed(3), steps: 7, schedule } as const;
const flat: FakeWorld = () => Array.from({ length: K }, () => 0);
const network = maskedNetwork(flat, options);

/** Tokens newly fixed in each step, per image. */
async function fixedPerStep(extra: Partial<MaskgitOptions>): Promise<number[][]> {
  const perImage: number[][] = [[], [], []];
  const openBefore = [0, 1, 2].map((image) => openIn(extra.known?.tokens ?? new Int32Array(108).fill(UNKNOWN), image));
  await watch(maskgitSteps({ ...options, tokensToLogits: network, ...extra }), ({ grid }) => {
    perImage.forEach((counts, image) => {
      const open = openIn(grid.tokens, image);
      counts.push((openBefore[image] ?? 0) - open);
      openBefore[image] = open;
    });
  });
  return perImage;
}

const openIn = (tokens: Int32Array, image: number): number =>
  tokens.subarray(image * 36, (image + 1) * 36).filter((token) => token === UNKNOWN).length;

test("every step fixes exactly the scheduled number in every image", async () => {
  const planned = [...uncoverCounts(36, 7, schedule)];
  expect(await fixedPerStep({})).toEqual([planned, planned, planned]);
});

test("an image's schedule runs over its own open positions", async () => {
  const tokens = new Int32Array(108).fill(2);
  tokens.fill(UNKNOWN, 0, 20).fill(UNKNOWN, 36, 39);
  const known = { tokens, shape: [3, 6, 6] } as const;
  expect(await fixedPerStep({ known })).toEqual([
    [...uncoverCounts(20, 7, schedule)],
    [1, 1, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0],
  ]);
});

test("without choice noise the surest positions come first, ties in raster order", async () => {
  const surer: FakeWorld = (_, position) => [position < 30 ? 10 : 11, 0, 0, 0, 0];
  const order: number[] = [];
  const tokensToLogits = maskedNetwork(surer, options);
  const greedy = { ...options, count: 1, steps: 36, temperature: 0, choiceTemperature: 0, tokensToLogits };
  await watch(maskgitSteps(greedy), ({ grid }) => {
    grid.tokens.forEach((token, i) => {
      if (token !== UNKNOWN && !order.includes(i)) order.push(i);
    });
  });
  expect(order).toEqual([30, 31, 32, 33, 34, 35, ...Array.from({ length: 30 }, (_, i) => i)]);
});

test("choice noise changes the order but not the last step's rule: all is filled", async () => {
  const orders = await Promise.all(
    [0, 4.5].map(async (choiceTemperature) => {
      const first: number[] = [];
      await watch(maskgitSteps({ ...options, choiceTemperature, tokensToLogits: network }), ({ step, grid }) => {
        if (step === 1) grid.tokens.forEach((token, i) => token !== UNKNOWN && first.push(i));
      });
      return first;
    }),
  );
  expect(orders[0]).toEqual([0, 36, 72]);
  expect(orders[1]).not.toEqual(orders[0]);
});

test.each([0, -1, 2.5, NaN, 37])("refuses %d steps for 36 positions", async (steps) => {
  await expect(sampleMaskgit({ ...options, steps, tokensToLogits: network })).rejects.toMatchObject({ code: "usage" });
});

test.each([-1, NaN, Infinity])("refuses a choice temperature of %d", async (choiceTemperature) => {
  const sampled = sampleMaskgit({ ...options, choiceTemperature, tokensToLogits: network });
  await expect(sampled).rejects.toMatchObject({ code: "usage" });
});
