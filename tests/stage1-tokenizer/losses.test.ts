import { beforeAll, expect, test } from "vitest";
import { tf } from "../../shared/engine/tf.ts";
import { codeUse, termValues, totalLoss } from "../../stage1-tokenizer/losses.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});
const value = (tensor: tf.Tensor): number => tensor.dataSync()[0] ?? NaN;

test("the loss is reconstruction plus each term by its weight, and terms are reported without it", () => {
  const terms = {
    codebookLoss: { value: tf.scalar(0.7), weight: 1 },
    commitmentLoss: { value: tf.scalar(2), weight: 0.25 },
    kl: { value: tf.scalar(10), weight: tf.scalar(0.1) },
  };
  expect(value(totalLoss(tf.scalar(3), terms))).toBeCloseTo(3 + 0.7 + 0.5 + 1, 5);
  expect(value(totalLoss(tf.scalar(3), {}))).toBe(3);
  const reported = termValues(terms);
  expect(Object.keys(reported)).toEqual(["codebookLoss", "commitmentLoss", "kl"]);
  expect(value(reported["commitmentLoss"] ?? tf.scalar(NaN))).toBe(2);
});

test("perplexity is K for even use, 1 for a single code; codes used are counted", () => {
  const even = codeUse(tf.tensor1d([5, 5, 5, 5]));
  expect(value(even.perplexity)).toBeCloseTo(4, 4);
  expect(value(even.codesUsed)).toBe(4);
  const single = codeUse(tf.tensor1d([0, 9, 0, 0]));
  expect(value(single.perplexity)).toBeCloseTo(1, 4);
  expect(value(single.codesUsed)).toBe(1);
});
