import { beforeAll, expect, test } from "vitest";
import { tf } from "../../shared/engine/tf.ts";
import { codeUse, tokenizerLoss } from "../../stage1-tokenizer/losses.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});
const value = (tensor: tf.Tensor): number => tensor.dataSync()[0] ?? NaN;

test("loss = MSE / variance + codebook + β · commitment, each part by its name", () => {
  const parts = tokenizerLoss({
    images: tf.zeros([1, 1, 2, 3]),
    reconstruction: tf.tensor([0.1, 0.1, 0.1, 0.3, 0.3, 0.3], [1, 1, 2, 3]),
    quantized: { codebookLoss: tf.scalar(0.7), commitmentLoss: tf.scalar(2) },
    commitmentWeight: 0.25,
    dataVariance: 0.05,
  });
  expect(value(parts.reconstructionLoss)).toBeCloseTo(0.05 / 0.05, 5);
  expect(value(parts.commitmentLoss)).toBe(2);
  expect(value(parts.loss)).toBeCloseTo(value(parts.reconstructionLoss) + 0.7 + 0.25 * 2, 5);
});

test("perplexity is K for even use, 1 for a single code; codes used are counted", () => {
  const even = codeUse(tf.tensor1d([5, 5, 5, 5]));
  expect(value(even.perplexity)).toBeCloseTo(4, 4);
  expect(value(even.codesUsed)).toBe(4);
  const single = codeUse(tf.tensor1d([0, 9, 0, 0]));
  expect(value(single.perplexity)).toBeCloseTo(1, 4);
  expect(value(single.codesUsed)).toBe(1);
});
