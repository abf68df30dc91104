import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createGaussianLikelihood } from "../../../stage1-tokenizer/reconstruction/gaussian.ts";
import { numbers, someImages, testReconstruction } from "../../contracts/reconstruction.ts";
import { noise } from "../../shared/nn/tensors.ts";
import { levelProbabilities, scales, sum } from "./levels.ts";

const gaussian = createGaussianLikelihood();
testReconstruction(gaussian, { isLikelihood: true, bounded: false, outputFor: (images) => images });

test.each([0.01, 0.03, 0.08])("levels' probabilities sum to 1 where a deviation of %d is far above a level and inside the range", (sigma) => {
  for (const mean of [-0.1, 0, 0.0777])
    expect(sum(levelProbabilities(gaussian, mean, Math.log(sigma)))).toBeCloseTo(1, 4);
}); // prettier-ignore

test("each is the density times the width of a level", () => {
  const got = levelProbabilities(gaussian, 0.1, Math.log(0.05));
  for (const level of [100, 150, 160]) {
    const density = Math.exp(-0.5 * ((level / 255 - 0.6) / 0.05) ** 2) / (0.05 * Math.sqrt(2 * Math.PI));
    expect((got[level] ?? NaN) / (density / 255)).toBeCloseTo(1, 4);
  }
});

test("the best deviation of a colour is the root of its mean squared error", () => {
  const images = someImages();
  const error = tf.mul(noise(images.shape), tf.tensor1d([0.05, 0.1, 0.2]));
  const squares = numbers(tf.mean(tf.square(error), [0, 1, 2]));
  const loss = (logScale: tf.Tensor): tf.Tensor =>
    tf.mean(gaussian.perImage({ images, output: tf.add(images, error), weights: { "likelihood.logScale": logScale } }));
  const best = tf.tensor1d(squares.map((square) => Math.log(square) / 2));
  expect(Math.max(...numbers(tf.grad(loss)(best)).map(Math.abs))).toBeLessThan(1e-5);
  expect(Math.min(...numbers(tf.grad(loss)(tf.add(best, 0.1))))).toBeGreaterThan(0.01);
});

test("a deviation below a tenth of a level counts as one: no density runs away", () => {
  const at = (logScale: number): number[] => levelProbabilities(gaussian, 0, logScale);
  expect(at(-30)).toEqual(at(Math.log(1 / 2550)));
  const one = tf.zeros([1, 1, 1, 3]);
  const perImage = (logScale: tf.Tensor): tf.Tensor =>
    gaussian.perImage({ images: one, output: one, weights: { "likelihood.logScale": logScale } });
  expect(numbers(tf.grad(perImage)(scales(-30, -30, -30)["likelihood.logScale"] as tf.Tensor)).map(Math.abs)).toEqual([
    0, 0, 0,
  ]);
});
