import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Arrays } from "../../../shared/engine/engine.ts";
import { secondsPerStep } from "../../../shared/train/calibrate.ts";

/** Milliseconds; nothing here waits. */
let clock = 0;
beforeEach(() => {
  vi.spyOn(performance, "now").mockImplementation(() => clock);
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Steps that take `milliseconds[i]` by the clock, and batches that take ten seconds each to prepare. */
async function measure(milliseconds: readonly number[]): Promise<{ seconds: number; seen: unknown[] }> {
  const seen: unknown[] = [];
  const step = (batch: Arrays): Promise<Arrays> => {
    clock += milliseconds[seen.length] ?? NaN;
    seen.push(batch);
    return Promise.resolve({});
  };
  const batch = (at: number) => {
    clock += 10_000;
    return Promise.resolve({ arrays: { x: Float32Array.of(at) }, keys: [] });
  };
  return { seconds: await secondsPerStep({ step }, batch), seen };
}

test("is the median of the steps alone: neither preparing a batch nor the first two steps count", async () => {
  expect((await measure([9000, 8000, 6, 1, 5, 2, 4, 3])).seconds).toBeCloseTo(0.004, 10);
});

test("one slow step does not move it", async () => {
  const steady = (await measure([0, 0, 5, 5, 5, 5, 5, 5])).seconds;
  expect((await measure([0, 0, 5, 5, 7000, 5, 5, 5])).seconds).toBeCloseTo(steady, 10);
});

test("takes the run's own batches, from the first on", async () => {
  const { seen } = await measure([1, 1, 1, 1, 1, 1, 1, 1]);
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((at) => ({ x: Float32Array.of(at) })));
});
