import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createL1 } from "../../../stage1-tokenizer/reconstruction/l1.ts";
import { numbers, testReconstruction } from "../../contracts/reconstruction.ts";

testReconstruction(createL1({ dataVariance: 0.08 }), {
  isLikelihood: false,
  bounded: false,
  outputFor: (images) => images,
});

test("l1 by hand: mean of absolute errors over the deviation, and a gradient of equal size for every value", () => {
  const [images, output] = [tf.tensor([0, 0.5, -0.5], [1, 1, 1, 3]), tf.tensor([0.1, 0.3, -0.1], [1, 1, 1, 3])];
  const loss = (x: tf.Tensor): tf.Tensor =>
    createL1({ dataVariance: 0.04 }).perImage({ images, output: x, weights: {} });
  expect(numbers(loss(output))[0]).toBeCloseTo(0.7 / 3 / 0.2, 5);
  const gradient = numbers(tf.grad(loss)(output));
  [1, -1, 1].forEach((sign, i) => expect(gradient[i]).toBeCloseTo(sign / 3 / 0.2, 5));
});
