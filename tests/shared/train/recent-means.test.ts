import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRecentMeans } from "../../../shared/train/recent-means.ts";

describe("recent means", () => {
  test("are of the last steps, however many came before", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.integer({ min: -99, max: 99 }), { minLength: 1 }),
        (window, values) => {
          const recent = createRecentMeans(window);
          for (const value of values) recent.add({ loss: value, twice: 2 * value });
          const last = values.slice(-window);
          const mean = last.reduce((sum, value) => sum + value, 0) / last.length;
          expect(recent.means()["loss"]).toBeCloseTo(mean, 9);
          expect(recent.means()["twice"]).toBeCloseTo(2 * mean, 9);
        },
      ),
    );
  });

  test("are none before the first step", () => {
    expect(createRecentMeans(5).means()).toEqual({});
  });

  test("asked for twice are the same, and go on", () => {
    const recent = createRecentMeans(2);
    recent.add({ loss: 1 });
    expect([recent.means(), recent.means()]).toEqual([{ loss: 1 }, { loss: 1 }]);
    recent.add({ loss: 2 });
    recent.add({ loss: 4 });
    expect(recent.means()).toEqual({ loss: 3 });
  });

  test("of a figure that a step lacked are no number", () => {
    const recent = createRecentMeans(2);
    recent.add({ loss: 1 });
    recent.add({ loss: 2, late: 5 });
    expect(recent.means()).toEqual({ loss: 1.5, late: NaN });
  });
});
