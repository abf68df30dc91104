import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { crossEntropy } from "../../../shared/nn/cross-entropy.ts";
import { expectFiniteDifferences, expectSameFunction, noise, numbers } from "./tensors.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const TARGETS = [2, 0, 4, 4];
const targets = (): tf.Tensor => tf.tensor1d(TARGETS, "int32");

describe.each([0, 0.1])("smoothing %d", (smoothing) => {
  const loss = (logits: tf.Tensor): tf.Tensor => crossEntropy(logits, targets(), smoothing).loss;

  test("values and gradients are those of −Σ target · log softmax", () => {
    const rows = TARGETS.map((target) =>
      [0, 1, 2, 3, 4].map((k) => (k === target ? 1 - smoothing : 0) + smoothing / 5),
    );
    const plain = (logits: tf.Tensor): tf.Tensor =>
      tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), tf.tensor2d(rows)), -1));
    expectSameFunction(loss, plain, [noise([4, 5])]);
    expectFiniteDifferences(loss, [noise([4, 5])]);
  });

  test("gradients of a row sum to 0: logits may move together", () => {
    const gradient = tf.grad((logits: tf.Tensor) => tf.sum(loss(logits)))(noise([4, 5]));
    for (const sum of numbers(tf.sum(gradient, -1))) expect(sum).toBeCloseTo(0, 5);
  });

  test("equal logits cost ln K", () => {
    for (const value of numbers(loss(tf.fill([4, 5], 3)))) expect(value).toBeCloseTo(Math.log(5), 5);
  });

  test("logits of thousands stay finite, forward and backward", () => {
    const logits = tf.mul(noise([4, 5]), 3000);
    const gradient = tf.grad((x: tf.Tensor) => tf.sum(loss(x)))(logits);
    expect([...numbers(loss(logits)), ...numbers(gradient)].every(Number.isFinite)).toBe(true);
  });
});

test("nats are never smoothed and carry no gradient", () => {
  const logits = noise([4, 5]);
  expect(numbers(crossEntropy(logits, targets(), 0.3).nats)).toEqual(numbers(crossEntropy(logits, targets(), 0).loss));
  const gradient = tf.grad((x: tf.Tensor) => {
    const { loss, nats } = crossEntropy(x, targets(), 0.3);
    return tf.add(tf.mul(tf.sum(loss), 0), tf.sum(nats));
  })(logits);
  expect(numbers(gradient).every((value) => Math.abs(value) === 0)).toBe(true);
});
