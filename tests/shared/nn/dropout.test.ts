import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { drawDropoutMask, dropout } from "../../../shared/nn/dropout.ts";
import { Rng } from "../../../shared/rng.ts";
import { noise, numbers } from "./tensors.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

describe("dropout", () => {
  const mask = tf.tensor([1, 0, 0, 1], [2, 2], "int32");

  test("keeps what the mask keeps, grown by 1/(1 − rate), and zeroes the rest", () => {
    expect(numbers(dropout(tf.tensor([1, 2, 3, 4], [2, 2]), mask, 0.5))).toEqual([2, 0, 0, 8]);
  });

  test("gradients pass where values pass", () => {
    const gradient = tf.grad((x: tf.Tensor) => tf.sum(dropout(x, mask, 0.75)))(noise([2, 2]));
    expect(numbers(gradient)).toEqual([4, 0, 0, 4]);
  });

  test("without a mask x is returned as it is", () => {
    const x = noise([2, 2]);
    expect(dropout(x, undefined, 0.5)).toBe(x);
  });
});

describe("masks", () => {
  test("any length: bytes 0 or 1, the same from the same stream", () => {
    fc.assert(
      fc.property(fc.nat(50), fc.double({ min: 0, max: 0.99, noNaN: true }), fc.nat(), (length, rate, seed) => {
        const mask = drawDropoutMask(length, rate, Rng.fromSeed(seed));
        expect(mask).toHaveLength(length);
        expect(mask.every((value) => value === 0 || value === 1)).toBe(true);
        expect(drawDropoutMask(length, rate, Rng.fromSeed(seed))).toEqual(mask);
      }),
    );
  });

  test.each([0, 0.1, 0.5, 0.9])("a share of %d is dropped", (rate) => {
    const mask = drawDropoutMask(40_000, rate, Rng.fromSeed(4));
    const dropped = 1 - mask.reduce((sum, value) => sum + value, 0) / mask.length;
    // 1/512 of rounding and four standard deviations of 40,000 draws.
    expect(Math.abs(dropped - rate)).toBeLessThanOrEqual(1 / 512 + 4 * Math.sqrt((rate * (1 - rate)) / 40_000));
  });

  test("the four elements of a word are drawn independently", () => {
    const mask = drawDropoutMask(40_000, 0.5, Rng.fromSeed(4));
    for (const lag of [1, 2, 3, 4]) {
      const equal = mask.subarray(lag).filter((value, i) => value === mask[i]).length / (mask.length - lag);
      expect(Math.abs(equal - 0.5)).toBeLessThan(0.01);
    }
  });
});
