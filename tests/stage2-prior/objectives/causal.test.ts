import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { causal } from "../../../stage2-prior/objectives/causal.ts";
import { testObjective } from "../../contracts/objective.ts";
import { tinyPrior } from "../tiny-config.ts";

testObjective(causal);

test("rows are shifted right behind K, every position counts, and nothing is drawn", () => {
  const config = tinyPrior({ grid: [1, 3] });
  const prepared = (seed: number) =>
    causal.prepare(Int32Array.of(3, 1, 6, 0, 0, 5), Rng.fromSeed(seed), { config, mode: "training" });
  expect([...prepared(1).ids]).toEqual([7, 3, 1, 7, 0, 0]);
  expect([...prepared(1).counted]).toEqual([1, 1, 1, 1, 1, 1]);
  expect(prepared(2)).toEqual(prepared(1));
});
