import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { epochOrder } from "../../../shared/train/epochs.ts";

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const count = fc.integer({ min: 1, max: 40 });

describe("with a generator", () => {
  test("every epoch holds each example once", () => {
    fc.assert(
      fc.property(count, fc.nat(5), fc.nat(), (n, epoch, seed) => {
        const order = epochOrder(n, Rng.fromSeed(seed));
        const indices = range(n).map((i) => order(epoch * n + i));
        expect(indices.toSorted((a, b) => a - b)).toEqual(range(n));
      }),
    );
  });

  test("a position's example does not depend on what was asked before", () => {
    fc.assert(
      fc.property(count, fc.array(fc.nat(400), { maxLength: 12 }), fc.nat(), (n, positions, seed) => {
        const order = epochOrder(n, Rng.fromSeed(seed));
        for (const position of positions) expect(order(position)).toBe(epochOrder(n, Rng.fromSeed(seed))(position));
      }),
    );
  });

  test("epochs differ from each other and from those of another seed", () => {
    const epoch = (seed: number, at: number): number[] =>
      range(30).map((i) => epochOrder(30, Rng.fromSeed(seed))(at * 30 + i));
    expect(epoch(1, 1)).not.toEqual(epoch(1, 0));
    expect(epoch(2, 0)).not.toEqual(epoch(1, 0));
  });

  test("leaves the generator where it was", () => {
    const [used, fresh] = [Rng.fromSeed(3), Rng.fromSeed(3)];
    range(50).map(epochOrder(7, used));
    expect(used.uint32()).toBe(fresh.uint32());
  });
});

test("without a generator every epoch keeps the order", () => {
  expect(range(7).map(epochOrder(3, undefined))).toEqual([0, 1, 2, 0, 1, 2, 0]);
});
