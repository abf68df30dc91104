import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { diffusion } from "../../../stage2-prior/objectives/diffusion.ts";
import type { Prepared, PrepareOptions } from "../../../stage2-prior/objectives/index.ts";
import { LENGTH, MODES, testObjective } from "../../contracts/objective.ts";
import { tinyPrior, tinyTokens } from "../tiny-config.ts";

testObjective(diffusion);

type Place = PrepareOptions["place"];
function prepared(batchSize: number, options: { seed?: number; place?: Place; mode?: PrepareOptions["mode"] } = {}) {
  const config = tinyPrior({ objective: "diffusion", batchSize });
  const { tokens } = tinyTokens(config);
  const { seed = 1, place, mode = "training" } = options;
  return { tokens, ...diffusion.prepare(tokens, Rng.fromSeed(seed), { config, mode, place }) };
}
/** How many positions of each image are hidden. */
const hiddenCounts = ({ ids }: Prepared): number[] =>
  Array.from({ length: ids.length / LENGTH }, (_, image) =>
    ids.subarray(image * LENGTH, (image + 1) * LENGTH).reduce((sum, id) => sum + Number(id === 7), 0),
  );
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

test.each(MODES)("%s: K stands exactly where the loss counts, and there the m hidden ones weigh 1/m each", (mode) => {
  const { tokens, ids, counted } = prepared(8, { mode });
  expect([...ids]).toEqual([...tokens].map((token, i) => ((counted[i] ?? 0) > 0 ? 7 : token)));
  const counts = hiddenCounts({ ids, counted });
  counted.forEach((weight, i) => {
    if (weight > 0) expect(weight).toBe(Math.fround(1 / (counts[Math.floor(i / LENGTH)] ?? NaN)));
  });
});

test("m is stratified over a batch: with as many images as positions every m comes once", () => {
  for (const seed of [1, 2, 3]) expect(hiddenCounts(prepared(LENGTH, { seed }))).toEqual(upTo(LENGTH));
});

test("m is stratified over all batches that are averaged together", () => {
  const parts = [0, 4, 8, 12].flatMap((first) => hiddenCounts(prepared(4, { seed: first, place: { first, of: 16 } })));
  expect(parts).toEqual(upTo(LENGTH));
});

test("one image alone draws every m, equally often", () => {
  const counts = upTo(3200).map((seed) => hiddenCounts(prepared(1, { seed }))[0] ?? NaN);
  // Binomial(3200, 1/16): mean 200, deviation 13.7.
  for (const m of upTo(LENGTH)) expect(Math.abs(counts.filter((count) => count === m).length - 200)).toBeLessThan(68);
});

test("rows that fill the last batch up, beyond all strata, hide no more than there is", () => {
  expect(hiddenCounts(prepared(4, { place: { first: 2, of: 4 } })).slice(2)).toEqual([LENGTH, LENGTH]);
});

test("with the true conditionals of a distribution the bound is tight: the mean cost is −log p(image) / L", () => {
  // Three bits with any joint distribution; the image is 1 0 1.
  const joint = [0.05, 0.2, 0.1, 0.05, 0.15, 0.3, 0.02, 0.13];
  const image = Int32Array.of(1, 0, 1);
  const marginal = (known: readonly (readonly [at: number, bit: number])[]): number =>
    joint.reduce((sum, p, word) => (known.every(([at, bit]) => ((word >> (2 - at)) & 1) === bit) ? sum + p : sum), 0);
  const count = 6000;
  const config = tinyPrior({ objective: "diffusion", grid: [1, 3], codebookSize: 2, batchSize: count });
  const tokens = Int32Array.from({ length: 3 * count }, (_, i) => image[i % 3] ?? 0);
  const { ids, counted } = diffusion.prepare(tokens, Rng.fromSeed(5), { config, mode: "evaluation" });
  let cost = 0;
  for (let row = 0; row < 3 * count; row += 3) {
    const known = [0, 1, 2].flatMap((at) => (ids[row + at] === 2 ? [] : [[at, image[at] ?? 0] as const]));
    for (const at of [0, 1, 2]) {
      const nats = Math.log(marginal(known)) - Math.log(marginal([...known, [at, image[at] ?? 0]]));
      cost += (counted[row + at] ?? 0) * nats;
    }
  }
  expect(cost / count).toBeCloseTo(-Math.log(joint[0b101] ?? NaN) / 3, 2);
});

test("nothing is smoothed, whatever the config says: a smoothed loss is no bound", () => {
  expect(diffusion.smoothing(tinyPrior({ labelSmoothing: 0.1 }))).toBe(0);
});
