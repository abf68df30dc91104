import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createVq } from "../../../stage1-tokenizer/bottleneck/vq.ts";
import { CENTROIDS, SIZE, testBottleneck, testNearestCodes } from "../../contracts/bottleneck.ts";

const options = { ...SIZE, commitmentWeight: 0.25, normalizeCodes: false };
testBottleneck(createVq(options));
testBottleneck(createVq({ ...options, normalizeCodes: true }));
testNearestCodes(createVq(options));

test("vq: the codebook loss pulls a chosen code toward its zE by gradient, and leaves zE and unchosen codes alone", () => {
  const vq = createVq(options);
  const zE = tf.tensor([3.5, 0, 0, 0.1, 0, 0], [1, 1, 2, 3]);
  const codebook = tf.tensor2d(CENTROIDS, [5, 3]);
  const { value, grads } = tf.valueAndGrads((codes: tf.Tensor, x: tf.Tensor) => {
    const { terms } = vq.forward(x, { "weight/codebook.embedding": codes });
    return tf.add(terms["codebookLoss"]?.value ?? NaN, tf.mul(tf.sum(x), 0));
  })([codebook, zE]);
  expect(value.dataSync()[0]).toBeCloseTo((0.5 ** 2 + 0.1 ** 2) / 6, 6);
  const gradient = [...(grads[0]?.dataSync() ?? [])];
  expect(gradient[0]).toBeCloseTo((2 * -0.1) / 6, 6); // code 0 moves up to 0.1
  expect(gradient[3]).toBeCloseTo((2 * -0.5) / 6, 6); // code 1 moves up to 3.5
  expect(gradient.filter((_, i) => i !== 0 && i !== 3).every((x) => Math.abs(x) === 0)).toBe(true);
  expect([...(grads[1]?.dataSync() ?? [])].every((x) => Math.abs(x) === 0)).toBe(true);
});
