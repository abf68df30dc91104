import { beforeAll, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { swiglu } from "../../../shared/nn/swiglu.ts";
import { expectFiniteDifferences, expectSameFunction, noise, numbers } from "./tensors.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

test.each([{ shape: [3, 4] }, { shape: [2, 3, 4] }])(
  "values and gradients at $shape are those of gate·σ(gate)·up",
  ({ shape }) => {
    const plain = (gate: tf.Tensor, up: tf.Tensor): tf.Tensor => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
    expectSameFunction(swiglu, plain, [noise(shape), noise(shape, 2)]);
    expectFiniteDifferences(swiglu, [noise(shape), noise(shape, 2)]);
  },
);

test("a closed gate lets nothing through, a wide open one all", () => {
  expect(numbers(swiglu(tf.tensor([-1000, 0, 1000]), tf.tensor([7, 7, 7])))).toEqual([-0, 0, 7000]);
});
