import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createBce } from "../../../stage1-tokenizer/reconstruction/bce.ts";
import { numbers, testReconstruction } from "../../contracts/reconstruction.ts";

/** log t / (1 − t) of the intensity t. */
const logit = (images: tf.Tensor): tf.Tensor => tf.log(tf.div(tf.add(images, 0.5), tf.sub(0.5, images)));
const bce = createBce();
testReconstruction(bce, { isLikelihood: true, bounded: true, outputFor: logit });

const INTENSITIES = [0.1, 0.25, 0.5, 0.6, 0.9, 0.99];
const images = (): tf.Tensor => tf.tensor(INTENSITIES.map((t) => t - 0.5), [1, 2, 1, 3]); // prettier-ignore

test("bce at logit(t) is the entropy of t, and its gradient there 0", () => {
  const entropy = INTENSITIES.map((t) => -t * Math.log(t) - (1 - t) * Math.log(1 - t)).reduce((a, b) => a + b) / 6;
  const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => bce.perImage({ images: images(), output: x, weights: {} }))(
    logit(images()),
  );
  expect(numbers(value)[0]).toBeCloseTo(entropy, 5);
  expect(Math.max(...numbers(grad).map(Math.abs))).toBeLessThan(1e-6);
});

test("bce has a gradient of (σ(o) − t) / n", () => {
  const outputs = [-2, -1, 0, 1, 2, 3];
  const grad = tf.grad((x: tf.Tensor) => bce.perImage({ images: images(), output: x, weights: {} }))(
    tf.tensor(outputs, [1, 2, 1, 3]),
  );
  outputs.forEach((o, i) =>
    expect(numbers(grad)[i]).toBeCloseTo((1 / (1 + Math.exp(-o)) - (INTENSITIES[i] ?? NaN)) / 6, 6),
  );
});

test("bce of black and white is −log of the probability given to them", () => {
  const blackWhite = tf.tensor([-0.5, 0.5, 0.5], [1, 1, 1, 3]);
  const p = [0.2, 0.7, 0.4];
  const output = tf.tensor(p.map((q) => Math.log(q / (1 - q))), [1, 1, 1, 3]); // prettier-ignore
  const expected = -(Math.log(0.8) + Math.log(0.7) + Math.log(0.4)) / 3;
  expect(numbers(bce.perImage({ images: blackWhite, output, weights: {} }))[0]).toBeCloseTo(expected, 5);
});
