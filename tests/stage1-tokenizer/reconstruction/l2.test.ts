import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createL2 } from "../../../stage1-tokenizer/reconstruction/l2.ts";
import { numbers, someImages, testReconstruction } from "../../contracts/reconstruction.ts";

testReconstruction(createL2({ dataVariance: 0.08 }), {
  isLikelihood: false,
  bounded: false,
  outputFor: (images) => images,
});

test("l2 is 1 on average for the best constant image, if the variance is the images' own", () => {
  const images = someImages();
  const output = tf.mul(tf.onesLike(images), tf.mean(images));
  const dataVariance = tf.moments(images).variance.dataSync()[0] ?? NaN;
  const losses = createL2({ dataVariance }).perImage({ images, output, weights: {} });
  expect(tf.mean(losses).dataSync()[0]).toBeCloseTo(1, 5);
});

test("l2 by hand: mean of squares over the variance", () => {
  const [images, output] = [tf.tensor([0, 0.5, -0.5], [1, 1, 1, 3]), tf.tensor([0.1, 0.3, -0.1], [1, 1, 1, 3])];
  expect(numbers(createL2({ dataVariance: 0.04 }).perImage({ images, output, weights: {} }))[0]).toBeCloseTo(
    0.07 / 0.04,
    5,
  );
});
