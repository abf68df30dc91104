import { beforeAll, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { rmsNorm } from "../../../shared/nn/norm.ts";
import { expectFiniteDifferences, expectSameFunction, expectTensorsClose, noise, numbers } from "./tensors.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

test.each([{ shape: [5, 6] }, { shape: [2, 3, 6] }])(
  "values and gradients at $shape are those of the formula",
  ({ shape }) => {
    const plain = (x: tf.Tensor, gain: tf.Tensor): tf.Tensor =>
      tf.mul(tf.div(x, tf.sqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6))), gain);
    expectSameFunction(rmsNorm, plain, [noise(shape), noise([6], 2)]);
    expectFiniteDifferences(rmsNorm, [noise(shape), noise([6], 2)]);
  },
);

test("with gain 1 the mean square is 1, whatever the input's scale", () => {
  const x = noise([4, 8]);
  const y = rmsNorm(x, tf.ones([8]));
  for (const square of numbers(tf.mean(tf.square(y), -1))) expect(square).toBeCloseTo(1, 4);
  expectTensorsClose(rmsNorm(tf.mul(x, 100), tf.ones([8])), y);
});

test("a row of zeros stays zero and has a finite gradient", () => {
  const [y, dx] = [
    rmsNorm(tf.zeros([1, 4]), tf.ones([4])),
    tf.grad((x: tf.Tensor) => tf.sum(rmsNorm(x, tf.ones([4]))))(tf.zeros([1, 4])),
  ];
  expect(numbers(y)).toEqual([0, 0, 0, 0]);
  expect(numbers(dx).every(Number.isFinite)).toBe(true);
});
