import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createStSoftmax } from "../../../stage1-tokenizer/bottleneck/st-softmax.ts";
import { SIZE, testBottleneck } from "../../contracts/bottleneck.ts";
import { expectTensorsClose, noise, numbers } from "../../shared/nn/tensors.ts";

testBottleneck(createStSoftmax(SIZE));

const leaf = createStSoftmax({ codebookSize: 4, codeDimension: 3 });
const embedding = (): tf.Tensor2D => noise([4, 3], 2) as tf.Tensor2D;
const forward = (zE: tf.Tensor, codes: tf.Tensor): tf.Tensor =>
  leaf.forward(zE, { "weight/codebook.embedding": codes }).z;

test("z is the code of the largest logit, bit for bit, and what lookup gives for what assign says", () => {
  const zE = noise([2, 3, 2, 4]);
  const state = { "weight/codebook.embedding": embedding() };
  const largest = (zE.reshape([-1, 4]).arraySync() as number[][]).map((row) => row.indexOf(Math.max(...row)));
  expect(numbers(leaf.assign(zE))).toEqual(largest);
  const codes = embedding().arraySync();
  expect(numbers(forward(zE, embedding()))).toEqual(largest.flatMap((k) => codes[k] ?? []));
  expect(numbers(leaf.lookup(leaf.assign(zE), state))).toEqual(numbers(forward(zE, embedding())));
});

test("the gradient to the logits is the softmax's, p ∘ (g − p·g) with g = E r", () => {
  const [zE, r] = [noise([1, 2, 3, 4]), noise([1, 2, 3, 3], 7)];
  const got = tf.grad((x: tf.Tensor) => tf.sum(tf.mul(r, forward(x, embedding()))))(zE);
  const codes = embedding().arraySync();
  const logits = zE.reshape([-1, 4]).arraySync() as number[][];
  const expected = (r.reshape([-1, 3]).arraySync() as number[][]).flatMap((weights, n) => {
    const row = logits[n] ?? [];
    const total = row.reduce((sum, logit) => sum + Math.exp(logit), 0);
    const p = row.map((logit) => Math.exp(logit) / total);
    const g = codes.map((code) => code.reduce((sum, value, d) => sum + value * (weights[d] ?? NaN), 0));
    const mean = p.reduce((sum, probability, k) => sum + probability * (g[k] ?? NaN), 0);
    return p.map((probability, k) => probability * ((g[k] ?? NaN) - mean));
  });
  expectTensorsClose(got, tf.tensor(expected, [1, 2, 3, 4]), 1e-6);
});

test("the codes learn by the one-hot: each by what is asked of the positions that chose it", () => {
  const [zE, r] = [tf.tensor([[[[5, 0, 0, 0], [0, 0, 5, 0], [9, 0, 0, 8]]]]), tf.tensor([1, 2, 3, 10, 20, 30, 4, 5, 6], [1, 1, 3, 3])]; // prettier-ignore
  const got = tf.grad((codes: tf.Tensor) => tf.sum(tf.mul(r, forward(zE, codes))))(embedding());
  expect(got.arraySync()).toEqual([[5, 7, 9], [0, 0, 0], [10, 20, 30], [0, 0, 0]]); // prettier-ignore
});
