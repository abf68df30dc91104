import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { clipByGlobalNorm } from "../../../shared/nn/clip.ts";
import { initialEma, updateEma } from "../../../shared/nn/ema.ts";
import { straightThrough } from "../../../shared/nn/straight-through.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const first = (tensor: tf.Tensor | undefined): number => tensor?.dataSync()[0] ?? NaN;

describe("ema", () => {
  const step = (t: number, decay = 0.9): number =>
    first(updateEma({ w: tf.tensor1d([1]) }, { w: tf.tensor1d([2]) }, { decay, step: tf.scalar(t) })["w"]);

  test("warms up: d = (1 + t)/(10 + t) until that exceeds the decay", () => {
    expect(step(0)).toBeCloseTo(1 + 0.9, 6); // d = 0.1
    expect(step(8)).toBeCloseTo(1.5, 6); // d = 9/18
    expect(step(1000)).toBeCloseTo(1.1, 6); // d = 0.9
  });

  test("starts as a copy of the weights, in its own memory", () => {
    const weights = { spec: { w: { shape: [2], dtype: "float32" } }, values: { w: Float32Array.of(1, 2) } } as const;
    const ema = initialEma(weights);
    expect(ema.values).toEqual({ "ema/w": Float32Array.of(1, 2) });
    expect(ema.values["ema/w"]).not.toBe(weights.values.w);
  });
});

describe("clipByGlobalNorm", () => {
  const gradients = (): Record<string, tf.Tensor> => ({ a: tf.tensor1d([3, 0]), b: tf.tensor2d([[4]]) });

  test("scales a long gradient to the norm, keeping its direction", () => {
    const { gradients: clipped, norm } = clipByGlobalNorm(gradients(), 1);
    expect(first(norm)).toBe(5);
    expect(first(clipped["a"])).toBeCloseTo(0.6, 6);
    expect(first(clipped["b"])).toBeCloseTo(0.8, 6);
  });

  test("leaves a short one alone, and zero is no division by zero", () => {
    expect(first(clipByGlobalNorm(gradients(), 100).gradients["a"])).toBe(3);
    expect(first(clipByGlobalNorm({ a: tf.zeros([2]) }, 1).gradients["a"])).toBe(0);
  });

  test("rounds alike in whatever order the entries stand", () => {
    // In float32 2²⁴ + 1 = 2²⁴, eight times over, but 8 + 2²⁴ > 2²⁴: the order of a sum shows.
    const ones = Object.fromEntries(["b", "c", "d", "e", "f", "g", "h", "i"].map((name) => [name, tf.tensor([1])]));
    const a = tf.tensor([4096]);
    expect(first(clipByGlobalNorm({ ...ones, a }, 1).norm)).toBe(first(clipByGlobalNorm({ a, ...ones }, 1).norm));
  });
});

describe("straightThrough", () => {
  test("forward is the choice, exactly; backward is the identity for the input and nothing for the choice", () => {
    const weight = tf.tensor1d([7, -3]);
    const x = tf.tensor1d([0.1, 0.7]);
    const choice = tf.tensor1d([1e-7, 1e7]);
    const { value, grads } = tf.valueAndGrads((a: tf.Tensor, b: tf.Tensor) =>
      tf.sum(tf.mul(weight, tf.add(straightThrough(a, tf.mul(b, 1)), tf.mul(b, 0)))),
    )([x, choice]);
    expect(first(value)).toBeCloseTo(7 * 1e-7 - 3e7, 0);
    expect([...straightThrough(x, choice).dataSync()]).toEqual([...choice.dataSync()]);
    expect([...(grads[0]?.dataSync() ?? [])]).toEqual([7, -3]);
    expect([...(grads[1]?.dataSync() ?? [])].map(Math.abs)).toEqual([0, 0]);
  });

  test("shapes must agree", () => {
    expect(() => straightThrough(tf.zeros([2]), tf.zeros([3]))).toThrow(/\[2\] and \[3\]/);
  });
});
