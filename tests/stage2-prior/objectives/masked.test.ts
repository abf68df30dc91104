import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { masked } from "../../../stage2-prior/objectives/masked.ts";
import type { PriorConfig } from "../../../stage2-prior/config.ts";
import { LENGTH, MODES, testObjective } from "../../contracts/objective.ts";
import { tinyPrior, tinyTokens } from "../tiny-config.ts";

testObjective(masked);

/** How many positions of each image are hidden. */
function hiddenCounts(config: PriorConfig, mode: (typeof MODES)[number], seed = 1): number[] {
  const { counted } = masked.prepare(tinyTokens(config).tokens, Rng.fromSeed(seed), { config, mode });
  return Array.from({ length: config.batchSize }, (_, image) =>
    counted.subarray(image * LENGTH, (image + 1) * LENGTH).reduce((sum, weight) => sum + weight, 0),
  );
}

test.each(MODES)("%s: K stands exactly where the loss counts, the token everywhere else", (mode) => {
  const config = tinyPrior({ objective: "masked", batchSize: 8 });
  const { tokens } = tinyTokens(config);
  const { ids, counted } = masked.prepare(tokens, Rng.fromSeed(3), { config, mode });
  expect([...ids]).toEqual([...tokens].map((token, i) => (counted[i] === 1 ? 7 : token)));
});

test("evaluation hides ⌈mean ratio · L⌉ positions of every image: 11 of 16 at the cosine's 2/π", () => {
  expect(hiddenCounts(tinyPrior({ objective: "masked", batchSize: 5 }), "evaluation")).toEqual([11, 11, 11, 11, 11]);
});

test("training draws the ratio: 1 … L hidden, 2/π on average", () => {
  const counts = hiddenCounts(tinyPrior({ objective: "masked", batchSize: 2000 }), "training");
  expect(Math.min(...counts)).toBe(1);
  expect(Math.max(...counts)).toBe(LENGTH);
  // ⌈·⌉ adds half a position on average; 2,000 draws of standard deviation 0.31.
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length / LENGTH;
  expect(Math.abs(mean - (2 / Math.PI + 0.5 / LENGTH))).toBeLessThan(0.03);
});

test("a floor holds in every image, and leaves what is above it", () => {
  const floor = hiddenCounts(tinyPrior({ objective: "masked", batchSize: 300, maskFloor: 0.5 }), "training");
  const free = hiddenCounts(tinyPrior({ objective: "masked", batchSize: 300 }), "training");
  expect(floor).toEqual(free.map((count) => Math.max(8, count)));
});

test("every position is hidden sometimes and shown sometimes", () => {
  const config = tinyPrior({ objective: "masked", batchSize: 200 });
  const { counted } = masked.prepare(tinyTokens(config).tokens, Rng.fromSeed(1), { config, mode: "evaluation" });
  for (let at = 0; at < LENGTH; at++) {
    const hidden = counted.filter((_, i) => i % LENGTH === at).reduce((sum, weight) => sum + weight, 0);
    // Binomial(200, 11/16): mean 137.5, deviation 6.6.
    expect(Math.abs(hidden - 137.5)).toBeLessThan(33);
  }
});

test("images of one batch are masked differently", () => {
  const config = tinyPrior({ objective: "masked", batchSize: 2 });
  const { counted } = masked.prepare(tinyTokens(config).tokens, Rng.fromSeed(1), { config, mode: "evaluation" });
  expect(counted.subarray(0, LENGTH)).not.toEqual(counted.subarray(LENGTH));
});

test("smoothing is the config's", () => {
  expect(masked.smoothing(tinyPrior({ labelSmoothing: 0.1 }))).toBe(0.1);
});
