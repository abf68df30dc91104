/**
 * What every reconstruction loss must do: `testReconstruction`. A leaf's test file calls it with a way to make it and says which output
 * stands for an image. Knows no network.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { initialise } from "../../shared/nn/state.ts";
import { Rng } from "../../shared/rng.ts";
import type { Reconstruction } from "../../stage1-tokenizer/reconstruction/reconstruction.ts";
import { toTensors } from "./bottleneck.ts";

const SHAPE = [3, 2, 4, 3];
const SIZE = 72;

export interface ReconstructionFacts {
  readonly isLikelihood: boolean;
  /** What a decoder must give for `images`, and where the loss of inner levels is least. */
  readonly outputFor: (images: tf.Tensor) => tf.Tensor;
  /** Whether `toImages` keeps any output inside −0.5 … 0.5. */
  readonly bounded: boolean;
}

export const numbers = (x: tf.Tensor): number[] => [...x.dataSync()];

/** [3, 2, 4, 3] of 8-bit levels between 20 and 235, on −0.5 … 0.5. */
export const someImages = (): tf.Tensor =>
  tf.tensor(
    Rng.fromSeed(6).fill(SIZE, (rng) => (20 + rng.integer(216)) / 255 - 0.5),
    SHAPE,
  );

/** The leaf's own weights, as they start. */
export const ownWeights = ({ specs }: Reconstruction): Tensors => {
  const { spec, values } = initialise(specs, Rng.fromSeed(1));
  return toTensors(spec, values);
};

/** At least 0.1 to either side of every value: away from the kink of an absolute value. */
const away = (): tf.Tensor =>
  tf.tensor(
    Rng.fromSeed(7).fill(SIZE, (rng) => (0.1 + 0.4 * rng.uniform()) * (rng.integer(2) === 0 ? 1 : -1)),
    SHAPE,
  );

/** Derivative of `f` along a random direction, by central differences and by its gradient. */
function alongDirection(f: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor): { expected: number; got: number } {
  const direction = tf.tensor(
    Rng.fromSeed(8).fill(x.size, (rng) => rng.normal()),
    x.shape,
  );
  const at = (by: number): number => f(tf.add(x, tf.mul(direction, by))).dataSync()[0] ?? NaN;
  const got = tf.sum(tf.mul(tf.grad(f)(x), direction)).dataSync()[0] ?? NaN;
  return { expected: (at(5e-3) - at(-5e-3)) / 1e-2, got };
}

export function testReconstruction(reconstruction: Reconstruction, facts: ReconstructionFacts): void {
  const { outputFor } = facts;
  const weights = (): Tensors => ownWeights(reconstruction);
  const perImage = (output: tf.Tensor, own = weights()): tf.Tensor =>
    reconstruction.perImage({ images: someImages(), output, weights: own });
  const meanOf = (output: tf.Tensor, own = weights()): tf.Tensor => tf.mean(perImage(output, own));

  describe(`reconstruction contract: ${reconstruction.name}`, () => {
    beforeAll(async () => {
      await tf.setBackend("cpu");
    });

    test("says whether it is a likelihood, and keeps its weights under likelihood.", () => {
      expect(reconstruction.isLikelihood).toBe(facts.isLikelihood);
      for (const name of Object.keys(reconstruction.specs)) expect(name).toMatch(/^likelihood\./);
    });

    test("gives one finite number an image, whatever the others of the batch are", () => {
      const output = tf.add(outputFor(someImages()), away());
      const together = perImage(output);
      expect(together.shape).toEqual([3]);
      expect(numbers(together).every(Number.isFinite)).toBe(true);
      expect(new Set(numbers(together)).size).toBe(3);
      const alone = [0, 1, 2].map((i) => {
        const cut = (x: tf.Tensor): tf.Tensor => tf.slice(x, [i, 0, 0, 0], [1, -1, -1, -1]);
        return reconstruction.perImage({ images: cut(someImages()), output: cut(output), weights: weights() });
      });
      expect(alone.flatMap(numbers)).toEqual(numbers(together));
    });

    test("is a mean over values: an image twice as high costs the same", () => {
      const [images, output] = [someImages(), tf.add(outputFor(someImages()), away())];
      const taller = reconstruction.perImage({
        images: tf.concat([images, images], 1),
        output: tf.concat([output, output], 1),
        weights: weights(),
      });
      numbers(taller).forEach((loss, i) => expect(loss).toBeCloseTo(numbers(perImage(output))[i] ?? NaN, 5));
    });

    test("is least where the output stands for the original", () => {
      const best = outputFor(someImages());
      const least = numbers(perImage(best));
      for (const share of [-1, -0.1, 0.1, 1])
        numbers(perImage(tf.add(best, tf.mul(away(), share)))).forEach((loss, i) =>
          expect(loss).toBeGreaterThan(least[i] ?? NaN),
        );
    });

    test("has gradients for the output and its own weights, which finite differences confirm", () => {
      const output = tf.add(outputFor(someImages()), away());
      const checks = [alongDirection((x) => meanOf(x), output)];
      for (const [name, weight] of Object.entries<tf.Tensor>(weights()))
        checks.push(alongDirection((x) => meanOf(output, { ...weights(), [name]: x }), weight));
      for (const { expected, got } of checks) {
        expect(Math.abs(expected)).toBeGreaterThan(1e-3);
        expect(Math.abs(got - expected)).toBeLessThan(1e-2 * Math.abs(expected) + 2e-4);
      }
      const everywhere = numbers(tf.grad((x: tf.Tensor) => meanOf(x))(output));
      expect(everywhere.every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
    });

    test("makes images of outputs: the original of what stands for it", () => {
      const images = reconstruction.toImages(outputFor(someImages()));
      expect(images.shape).toEqual(SHAPE);
      numbers(images).forEach((value, i) => expect(value).toBeCloseTo(numbers(someImages())[i] ?? NaN, 5));
      const extremes = numbers(reconstruction.toImages(tf.tensor([-1e4, -3, 0, 3, 1e4])));
      expect(extremes.every(Number.isFinite)).toBe(true);
      expect(extremes.every((value, i) => i === 0 || value >= (extremes[i - 1] ?? NaN))).toBe(true);
      expect(extremes.every((value) => Math.abs(value) <= 0.5)).toBe(facts.bounded);
    });

    test("stays finite, with its gradient, for outputs far off and images at the ends of the range", () => {
      const images = tf.tensor(Array.from({ length: SIZE }, (_, i) => (i % 2) - 0.5), SHAPE); // prettier-ignore
      const far = tf.tensor(
        Array.from({ length: SIZE }, (_, i) => ((i >> 1) % 2) * 2e3 - 1e3),
        SHAPE,
      );
      const { value, grads } = tf.valueAndGrads((output: tf.Tensor) =>
        tf.mean(reconstruction.perImage({ images, output, weights: weights() })),
      )([far]);
      expect([...numbers(value), ...grads.flatMap(numbers)].every(Number.isFinite)).toBe(true);
    });

    test("leaks no tensor", () => {
      const [images, output, own] = [someImages(), away(), weights()];
      const before = tf.memory().numTensors;
      tf.tidy(() => {
        reconstruction.perImage({ images, output, weights: own });
        reconstruction.toImages(output);
      });
      expect(tf.memory().numTensors).toBe(before);
    });
  });
}
