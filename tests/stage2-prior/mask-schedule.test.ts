/** Every schedule falls from 1 to 0; every plan fixes each token once. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MASK_SCHEDULES, maskSchedule, uncoverCounts } from "../../stage2-prior/mask-schedule.ts";

describe.each(Object.values(MASK_SCHEDULES))("$name", (schedule) => {
  test("runs from 1 to 0 and never rises", () => {
    expect(schedule.ratio(0)).toBeCloseTo(1, 12);
    expect(schedule.ratio(1)).toBeCloseTo(0, 12);
    const unit = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(unit, unit, (a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        expect(schedule.ratio(low)).toBeGreaterThanOrEqual(schedule.ratio(high));
      }),
    );
  });

  test("has the mean it states", () => {
    const points = 20_000;
    const sum = Array.from({ length: points }, (_, i) => schedule.ratio((i + 0.5) / points)).reduce((a, b) => a + b);
    expect(sum / points).toBeCloseTo(schedule.meanRatio, 5);
  });

  test("is found by its name", () => {
    expect(maskSchedule(schedule.name)).toBe(schedule);
  });

  test("fixes at least one token a step and all of them in the end", () => {
    const plan = fc
      .integer({ min: 1, max: 1200 })
      .chain((length) => fc.tuple(fc.constant(length), fc.integer({ min: 1, max: length })));
    fc.assert(
      fc.property(plan, ([length, steps]) => {
        const counts = uncoverCounts(length, steps, schedule);
        expect(counts.length).toBe(steps);
        expect(Math.min(...counts)).toBeGreaterThanOrEqual(1);
        expect(counts.reduce((a, b) => a + b)).toBe(length);
      }),
    );
  });
});

test("the published cosine plan for 1,024 tokens in 8 steps", () => {
  expect([...uncoverCounts(1024, 8, MASK_SCHEDULES.cosine)]).toEqual([20, 58, 95, 127, 156, 177, 192, 199]);
});

test("a linear plan is even", () => {
  expect([...uncoverCounts(10, 10, MASK_SCHEDULES.linear)]).toEqual(Array.from({ length: 10 }, () => 1));
  expect([...uncoverCounts(100, 10, MASK_SCHEDULES.linear)]).toEqual(Array.from({ length: 10 }, () => 10));
});

test.each([0, -1, 1.5, NaN, 11])("%d steps for 10 tokens are refused", (steps) => {
  expect(() => uncoverCounts(10, steps, MASK_SCHEDULES.cosine)).toThrow(/expected an integer 1 … 10/);
});

test.each(["cosin", "", "toString", "__proto__"])("schedule %j is refused with the names there are", (name) => {
  expect(() => maskSchedule(name)).toThrow(/cosine, arccos, linear, square/);
});
