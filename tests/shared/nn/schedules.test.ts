import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createSchedule, type ScheduleOptions } from "../../../shared/nn/schedules.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const at = (name: string, options: ScheduleOptions, step: number): number =>
  createSchedule(name, options)(tf.scalar(step)).dataSync()[0] ?? NaN;

describe("schedules", () => {
  test("constant", () => {
    expect(at("constant", { learningRate: 0.5 }, 0)).toBe(0.5);
    expect(at("constant", { learningRate: 0.5 }, 1e6)).toBe(0.5);
  });

  test("warm-up rises linearly, reaches the rate with its last step and stays", () => {
    const options = { learningRate: 0.4, warmupSteps: 4 };
    [0.1, 0.2, 0.3, 0.4, 0.4].forEach((rate, step) => expect(at("warmup", options, step)).toBeCloseTo(rate, 6));
  });

  test("the cosine starts at the rate, is half-way between rate and floor in the middle, and ends at the floor for good", () => {
    const options = { learningRate: 1, warmupSteps: 10, totalSteps: 110, floor: 0.2 };
    expect(at("warmup-cosine", options, 4)).toBeCloseTo(0.5, 6);
    expect(at("warmup-cosine", options, 10)).toBeCloseTo(1, 6);
    expect(at("warmup-cosine", options, 60)).toBeCloseTo(0.6, 6);
    expect(at("warmup-cosine", options, 110)).toBeCloseTo(0.2, 6);
    expect(at("warmup-cosine", options, 1000)).toBeCloseTo(0.2, 6);
  });

  test.each([
    ["an unknown name", "cosine-ish", { learningRate: 1 }, /unknown schedule.*warmup-cosine.*got cosine-ish/],
    ["a rate of 0", "constant", { learningRate: 0 }, /must be positive/],
    ["a rate that is no number", "constant", { learningRate: NaN }, /must be positive/],
    ["a negative warm-up", "warmup", { learningRate: 1, warmupSteps: -1 }, /must not be negative/],
    ["a cosine without an end", "warmup-cosine", { learningRate: 1 }, /must end after its warm-up/],
    ["a cosine inside its warm-up", "warmup-cosine", { learningRate: 1, warmupSteps: 9, totalSteps: 9 }, /more than 9/],
  ])("%s is a usage error", (_what, name, options, message) => {
    expect(() => createSchedule(name, options)).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringMatching(message) as string }) as Error,
    );
  });
});
