import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createLogistic } from "../../../stage1-tokenizer/reconstruction/logistic.ts";
import { numbers, testReconstruction } from "../../contracts/reconstruction.ts";
import { levelProbabilities, scales, sum } from "./levels.ts";

const logistic = createLogistic();
testReconstruction(logistic, { isLikelihood: true, bounded: false, outputFor: (images) => images });

const LEVEL = 1 / 255;
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** By the definition: the distribution's mass between the edges of a level, the outermost reaching to infinity. */
function mass(level: number, mean: number, scale: number): number {
  const at = (edge: number): number => sigmoid((edge - mean) / scale);
  const centre = level * LEVEL - 0.5;
  return (level === 255 ? 1 : at(centre + LEVEL / 2)) - (level === 0 ? 0 : at(centre - LEVEL / 2));
}

test.each([-2, -0.5, -0.4987, 0, 0.1234, 0.5, 3])(
  "probabilities of all levels sum to 1 around %d, at any scale",
  (mean) => {
    for (const logScale of [-20, -7.84, -6, -4, -2, 0, 1, 3])
      expect(Math.abs(sum(levelProbabilities(logistic, mean, logScale)) - 1), `log-scale ${logScale}`).toBeLessThan(
        1e-5,
      );
  },
);

test.each([
  [0, -2],
  [0.3, -3.5],
  [-0.5, -1],
])("each is the mass between the level's edges: mean %d, log-scale %d", (mean, logScale) => {
  const got = levelProbabilities(logistic, mean, logScale);
  got.forEach((p, level) => {
    const expected = mass(level, mean, Math.exp(logScale));
    if (expected > 1e-9) expect(Math.abs(p / expected - 1), `level ${level}`).toBeLessThan(1e-3);
  });
});

test("a level far from the mean keeps its digits, where the difference of two sigmoids has none left", () => {
  // log(σ(b) − σ(a)) ≈ −a + log(1 − e^−w) far above the mean.
  const [mean, scale] = [-0.4, 0.004];
  const images = tf.fill([1, 1, 1, 3], 200 / 255 - 0.5);
  const weights = scales(Math.log(scale), Math.log(scale), Math.log(scale));
  const nats = numbers(logistic.perImage({ images, output: tf.fill([1, 1, 1, 3], mean), weights }))[0] ?? NaN;
  const a = (200 / 255 - 0.5 - LEVEL / 2 - mean) / scale;
  expect(nats).toBeCloseTo(a - Math.log(1 - Math.exp(-LEVEL / scale)), 3);
  expect(nats).toBeGreaterThan(100);
});

test("each colour has its own scale", () => {
  const images = tf.tensor([100, 120, 140].map((level) => level * LEVEL - 0.5), [1, 1, 1, 3]); // prettier-ignore
  const logScales = [-1, -2, -3];
  const nats = logistic.perImage({ images, output: tf.zeros([1, 1, 1, 3]), weights: scales(...logScales) });
  const expected = [100, 120, 140].map((level, i) => -Math.log(mass(level, 0, Math.exp(logScales[i] ?? NaN))));
  expect(numbers(nats)[0]).toBeCloseTo(sum(expected) / 3, 3);
});
