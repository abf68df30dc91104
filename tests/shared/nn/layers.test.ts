import { beforeAll, describe, expect, test } from "vitest";
import type { Tensors } from "../../../shared/engine/engine.ts";
import { tf } from "../../../shared/engine/tf.ts";
import { valueAndGradients } from "../../../shared/nn/gradients.ts";
import {
  conv2d,
  conv2dSpec,
  conv2dTranspose,
  conv2dTransposeSpec,
  linear,
  linearSpec,
} from "../../../shared/nn/layers.ts";
import { initialise, layer, type WeightSpecs } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

function weightsOf(specs: WeightSpecs): Record<string, tf.Tensor> {
  const { spec, values } = initialise(specs, Rng.fromSeed(3));
  return Object.fromEntries(
    Object.entries(spec).map(([name, { shape }]) => [name, tf.tensor(values[name] ?? [], [...shape])]),
  );
}
const noise = (shape: number[], seed = 5): tf.Tensor =>
  tf.tensor(
    Rng.fromSeed(seed).fill(
      shape.reduce((a, b) => a * b, 1),
      (rng) => rng.normal(),
    ),
    shape,
  );

describe("shapes", () => {
  test("a 4×4 convolution with stride 2 and padding 1 halves, its transpose doubles", () => {
    const weights = weightsOf({
      ...conv2dSpec("down", { kernelSize: 4, from: 3, to: 5 }),
      ...conv2dTransposeSpec("up", { kernelSize: 4, stride: 2, from: 5, to: 3 }),
    });
    const half = conv2d(noise([2, 8, 6, 3]), layer(weights, "down"), { stride: 2, padding: 1 });
    expect(half.shape).toEqual([2, 4, 3, 5]);
    expect(conv2dTranspose(half, layer(weights, "up"), { stride: 2, padding: 1 }).shape).toEqual([2, 8, 6, 3]);
  });

  test("linear keeps the leading axes and refuses another width", () => {
    const weights = layer(weightsOf(linearSpec("to", { from: 4, to: 2 })), "to");
    expect(linear(noise([2, 3, 4]), weights).shape).toEqual([2, 3, 2]);
    expect(linear(noise([3, 4]), weights).shape).toEqual([3, 2]);
    expect(() => linear(noise([3, 5]), weights)).toThrow(/\[…, 4\], got \[3, 5\]/);
  });

  test("a linear map without bias declares none", () => {
    expect(Object.keys(linearSpec("to", { from: 4, to: 2, bias: false }))).toEqual(["to.kernel"]);
  });
});

describe("arithmetic", () => {
  test("padding is symmetric: an averaging kernel sees one zero on each side", () => {
    const weights = { kernel: tf.ones([3, 3, 1, 1]), bias: tf.tensor1d([10]) };
    const y = conv2d(tf.ones([1, 3, 3, 1]), weights, { padding: 1 });
    expect([...y.dataSync()]).toEqual([14, 16, 14, 16, 19, 16, 14, 16, 14]);
  });

  test("conv2dTranspose is the adjoint of conv2d: ⟨y, Kx⟩ = ⟨Kᵀy, x⟩", () => {
    const kernel = noise([4, 4, 3, 5]);
    const geometry = { stride: 2, padding: 1 };
    const x = noise([2, 8, 8, 3], 6);
    const y = noise([2, 4, 4, 5], 7);
    const forward = tf.sum(tf.mul(y, conv2d(x, { kernel }, geometry))).dataSync()[0] ?? NaN;
    const backward = tf.sum(tf.mul(x, conv2dTranspose(y, { kernel }, geometry))).dataSync()[0] ?? NaN;
    expect(backward).toBeCloseTo(forward, 3);
  });

  test.each([
    ["conv2d", conv2dSpec("l", { kernelSize: 4, from: 2, to: 3 }), [1, 4, 4, 2], conv2d],
    [
      "conv2dTranspose",
      conv2dTransposeSpec("l", { kernelSize: 4, stride: 2, from: 2, to: 3 }),
      [1, 2, 2, 2],
      conv2dTranspose,
    ],
    ["linear", linearSpec("l", { from: 2, to: 3 }), [4, 2], linear],
  ] as const)("%s: gradients agree with finite differences", (_name, specs, shape, apply) => {
    const x = noise([...shape]);
    const lossOf = (weights: Tensors): tf.Tensor => tf.mean(tf.square(apply(x, weights, { stride: 2, padding: 1 })));
    const weights = layer(weightsOf(specs), "l");
    const { gradients } = valueAndGradients(weights, (tensors) => ({ loss: lossOf(tensors), aux: {} }));
    for (const [name, weight] of Object.entries(weights)) {
      const direction = noise(weight.shape, 11);
      const along = (by: number): number =>
        lossOf({ ...weights, [name]: tf.add(weight, tf.mul(direction, by)) }).dataSync()[0] ?? NaN;
      const expected = (along(1e-2) - along(-1e-2)) / 2e-2; // exact for a quadratic, up to rounding
      const got = tf.sum(tf.mul(gradients[name] ?? tf.scalar(NaN), direction)).dataSync()[0] ?? NaN;
      expect(Math.abs(got - expected)).toBeLessThan(1e-3 * Math.max(1, Math.abs(expected)));
    }
  });
});
