import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { pixelcnn } from "../../../stage2-prior/objectives/pixelcnn.ts";
import { testObjective } from "../../contracts/objective.ts";
import { tinyPrior } from "../tiny-config.ts";

testObjective(pixelcnn);

test("rows stay as they are, every position counts, and nothing is drawn", () => {
  const config = tinyPrior({ grid: [1, 3] });
  const prepared = (seed: number) =>
    pixelcnn.prepare(Int32Array.of(3, 1, 6, 0, 0, 5), Rng.fromSeed(seed), { config, mode: "training" });
  expect([...prepared(1).ids]).toEqual([3, 1, 6, 0, 0, 5]);
  expect([...prepared(1).counted]).toEqual([1, 1, 1, 1, 1, 1]);
  expect(prepared(2)).toEqual(prepared(1));
});
