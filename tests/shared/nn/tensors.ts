/** Tensors for the tests of layers: reproducible noise, closeness with one tolerance for a whole tensor, gradients of a weighted sum. */
import { expect } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { Rng } from "../../../shared/rng.ts";
import { sizeOf } from "../../../shared/records.ts";

export const noise = (shape: readonly number[], seed = 5): tf.Tensor =>
  tf.tensor(
    Rng.fromSeed(seed).fill(sizeOf(shape), (rng) => rng.normal()),
    [...shape],
  );

export const numbers = (x: tf.Tensor): number[] => [...x.dataSync()];

/** Same shape, and the largest difference at most `tolerance` times the larger of 1 and the largest expected entry. */
export function expectTensorsClose(got: tf.Tensor, expected: tf.Tensor, tolerance = 1e-5): void {
  expect(got.shape).toEqual(expected.shape);
  const [a, b] = [numbers(got), numbers(expected)];
  const scale = Math.max(1, ...b.map(Math.abs));
  const worst = Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? NaN))));
  expect(worst / scale).toBeLessThanOrEqual(tolerance);
}

/** Gradients of Σ r ∘ f(x…) for one fixed random r: a wrong entry anywhere shows. */
export function gradientsOf(f: (...x: tf.Tensor[]) => tf.Tensor, x: readonly tf.Tensor[], seed = 17): tf.Tensor[] {
  const weighting = noise(f(...x).shape, seed);
  return tf.grads((...tensors: tf.Tensor[]) => tf.sum(tf.mul(weighting, f(...tensors))))([...x]);
}

/** `f` with a written-out gradient against `plain`, the same formula left to automatic differentiation. */
export function expectSameFunction(
  f: (...x: tf.Tensor[]) => tf.Tensor,
  plain: (...x: tf.Tensor[]) => tf.Tensor,
  x: readonly tf.Tensor[],
): void {
  expectTensorsClose(f(...x), plain(...x));
  const [got, expected] = [gradientsOf(f, x), gradientsOf(plain, x)];
  got.forEach((gradient, i) => {
    expectTensorsClose(gradient, expected[i] ?? tf.scalar(NaN));
  });
}

/** Derivative of Σ r ∘ f along one random direction of `x[at]`, by central differences. */
export function expectFiniteDifferences(f: (...x: tf.Tensor[]) => tf.Tensor, x: readonly tf.Tensor[]): void {
  const weighting = noise(f(...x).shape, 17);
  const gradients = gradientsOf(f, x);
  for (const [at, tensor] of x.entries()) {
    const direction = noise(tensor.shape, 23 + at);
    const along = (by: number): number => {
      const moved = x.map((other, i) => (i === at ? tf.add(other, tf.mul(direction, by)) : other));
      return tf.sum(tf.mul(weighting, f(...moved))).dataSync()[0] ?? NaN;
    };
    const expected = (along(1e-2) - along(-1e-2)) / 2e-2;
    const got = tf.sum(tf.mul(gradients[at] ?? tf.scalar(NaN), direction)).dataSync()[0] ?? NaN;
    expect(Math.abs(got - expected)).toBeLessThan(5e-3 * Math.max(1, Math.abs(expected)));
  }
}
