import fc from "fast-check";
import { expect, test } from "vitest";

import { quantizeWeights } from "../../../../shared/onnx/quantize/weights.ts";
import { sizeOf } from "../../../../shared/records.ts";

const shaped = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    axis: fc.nat({ max: shape.length - 1 }),
    weights: fc.float32Array({ minLength: sizeOf(shape), maxLength: sizeOf(shape), noNaN: true, min: -1e6, max: 1e6 }),
  }),
);

test("a weight is off by half a step of its channel at most, and the largest of a channel by nothing", () => {
  fc.assert(
    fc.property(shaped, ({ shape, axis, weights }) => {
      const { values, scales } = quantizeWeights(weights, shape, axis);
      const channels = shape[axis] ?? 0;
      const stride = sizeOf(shape.slice(axis + 1));
      expect(scales).toHaveLength(channels);
      const largest = new Float64Array(channels);
      const reached = new Float64Array(channels);
      for (const [i, weight] of weights.entries()) {
        const channel = Math.floor(i / stride) % channels;
        const scale = scales[channel] ?? 0;
        const value = values[i] ?? 0;
        expect(Math.abs(value * scale - weight)).toBeLessThanOrEqual(0.5 * scale * (1 + 1e-5));
        largest[channel] = Math.max(largest[channel] ?? 0, Math.abs(weight));
        reached[channel] = Math.max(reached[channel] ?? 0, Math.abs(value));
      }
      for (const [channel, size] of largest.entries()) if (size > 1e-30) expect(reached[channel]).toBe(127);
    }),
  );
});

test("channels do not share a scale", () => {
  const { values, scales } = quantizeWeights(Float32Array.of(1, -2, 100, 0, 0, 254), [3, 2], 0);
  expect([...values]).toEqual([64, -127, 127, 0, 0, 127]);
  expect(scales).toEqual(Float32Array.of(2 / 127, 100 / 127, 2));
  expect(quantizeWeights(new Float32Array(4), [2, 2], 1).scales).toEqual(Float32Array.of(1, 1));
});
