import { beforeAll, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { swiglu } from "../../../shared/nn/swiglu.ts";
import { expectFiniteDifferences, expectSameFunction, noise, numbers } from "./tensors.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

test.each([{ shape: [3, 8] }, { shape: [2, 3, 8] }])(
  "values and gradients at $shape are those of gate·σ(gate)·up",
  ({ shape }) => {
    const plain = (x: tf.Tensor): tf.Tensor => {
      const [gate, up] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
      return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
    };
    expectSameFunction(swiglu, plain, [noise(shape)]);
    expectFiniteDifferences(swiglu, [noise(shape)]);
  },
);

test("the gate comes first: a closed gate lets nothing through, a wide open one all", () => {
  expect(numbers(swiglu(tf.tensor([-1000, 0, 1000, 7, 7, 7], [1, 6])))).toEqual([-0, 0, 7000]);
});
