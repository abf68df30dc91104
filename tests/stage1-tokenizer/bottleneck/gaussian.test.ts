import { describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { Rng } from "../../../shared/rng.ts";
import {
  createGaussian,
  createGaussianVector,
  type GaussianOptions,
  klPerImage,
  sampleLatent,
} from "../../../stage1-tokenizer/bottleneck/gaussian.ts";
import { BATCH_SIZE, GRID, testBottleneck, toTensors } from "../../contracts/bottleneck.ts";
import { expectTensorsClose, noise, numbers } from "../../shared/nn/tensors.ts";

const options: GaussianOptions = {
  grid: GRID,
  codeDimension: 2,
  batchSize: BATCH_SIZE,
  klWeight: 0.5,
  freeBits: 0,
  imageValues: 12,
};
testBottleneck(createGaussian(options));
testBottleneck(createGaussian({ ...options, freeBits: 0.3 }));
testBottleneck(createGaussianVector(options));
testBottleneck(createGaussianVector({ ...options, freeBits: 0.3 }));

const scalar = (tensor: tf.Tensor | undefined): number => tensor?.dataSync()[0] ?? NaN;
const kl = (mean: number, logVariance: number): number => (Math.exp(logVariance) + mean ** 2 - 1 - logVariance) / 2;

describe("the KL divergence to the standard normal", () => {
  test.each([
    [0, 0],
    [0.7, -1.2],
    [-2, 0.5],
    [0.1, -4],
  ])("of mean %d and log-variance %d is the integral of q log(q / p)", (mean, logVariance) => {
    const sigma = Math.exp(logVariance / 2);
    const [steps, width] = [4000, 24 * sigma];
    let integral = 0;
    for (let i = 0; i < steps; i++) {
      const x = mean - width / 2 + ((i + 0.5) * width) / steps;
      const logQ = -0.5 * ((x - mean) / sigma) ** 2 - Math.log(sigma);
      integral += ((Math.exp(logQ) / Math.sqrt(2 * Math.PI)) * (logQ + 0.5 * x ** 2) * width) / steps;
    }
    const posterior = { mean: tf.tensor2d([[mean]]), logVariance: tf.tensor2d([[logVariance]]) };
    expect(scalar(klPerImage(posterior))).toBeCloseTo(integral, 5);
  });

  test("is summed over an image's latents, whatever their shape", () => {
    const [mean, logVariance] = [noise([2, 3, 2, 2]), noise([2, 3, 2, 2], 6)];
    const each = numbers(mean).map((value, i) => kl(value, numbers(logVariance)[i] ?? NaN));
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b);
    const expected = tf.tensor1d([sum(each.slice(0, 12)), sum(each.slice(12))]);
    expectTensorsClose(klPerImage({ mean, logVariance }), expected);
    const flat = { mean: mean.reshape([2, 12]), logVariance: logVariance.reshape([2, 12]) };
    expectTensorsClose(klPerImage(flat), expected);
  });
});

describe("the draw", () => {
  test("is mean + σ · noise, with their gradients: 1 to the mean, σ · noise / 2 to the log-variance", () => {
    const [mean, logVariance, epsilon, r] = [noise([2, 3], 1), noise([2, 3], 2), noise([2, 3], 3), noise([2, 3], 4)];
    const draw = (m: tf.Tensor, s: tf.Tensor): tf.Tensor => sampleLatent({ mean: m, logVariance: s }, epsilon);
    const spread = tf.mul(tf.exp(tf.div(logVariance, 2)), epsilon);
    expectTensorsClose(draw(mean, logVariance), tf.add(mean, spread), 1e-6);
    const [toMean, toSpread] = tf.grads((m: tf.Tensor, s: tf.Tensor) => tf.sum(tf.mul(r, draw(m, s))))([
      mean,
      logVariance,
    ]);
    expect(numbers(toMean ?? tf.scalar(NaN))).toEqual(numbers(r));
    expectTensorsClose(toSpread ?? tf.scalar(NaN), tf.mul(r, tf.mul(spread, 0.5)), 1e-6);
  });

  test("is standard normal noise of the batch's size", () => {
    const leaf = createGaussian({ ...options, grid: [16, 16], batchSize: 20 });
    const drawn = leaf.drawn.draw(Rng.fromSeed(2))["noise"] ?? new Float32Array();
    const values = [...drawn];
    expect(values).toHaveLength(20 * 16 * 16 * 2);
    const mean = values.reduce((a, b) => a + b) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.04);
    expect(Math.abs(values.reduce((sum, x) => sum + x * x, 0) / values.length - 1)).toBeLessThan(0.06);
  });
});

/** zE [1, 1, 2, 4]: two positions of two channels, means before log-variances. */
const zE = (): tf.Tensor4D => tf.tensor4d([1, 0.1, 0, 0, 2, -0.1, Math.log(4), 0], [1, 1, 2, 4]);
const mapOptions = (freeBits: number): GaussianOptions => ({ ...options, grid: [1, 2], batchSize: 1, freeBits });
const still = () => ({ noise: tf.zeros([1, 1, 2, 2]) });
/** Nats of each channel over both positions. */
const CHANNELS = [kl(1, 0) + kl(2, Math.log(4)), 2 * kl(0.1, 0)] as const;

describe("a map of latents", () => {
  test("takes means from the first half of the channels, log-variances from the second", () => {
    const leaf = createGaussian(mapOptions(0));
    const { mean, logVariance } = leaf.posterior(zE());
    expectTensorsClose(mean, tf.tensor([1, 0.1, 2, -0.1], [1, 1, 2, 2]), 0);
    expectTensorsClose(logVariance, tf.tensor([0, 0, Math.log(4), 0], [1, 1, 2, 2]), 1e-6);
    expect(numbers(leaf.fromLatent(leaf.latent(zE())))).toEqual(numbers(mean));
  });

  test("bounds log-variances, so that no spread over- or underflows", () => {
    const { logVariance } = createGaussian(mapOptions(0)).posterior(tf.mul(zE(), 1e6));
    expect(Math.max(...numbers(logVariance))).toBe(8);
    expect(Math.min(...numbers(createGaussian(mapOptions(0)).posterior(tf.mul(zE(), -1e6)).logVariance))).toBe(-14);
  });

  test("charges its KL in nats an image at β / imageValues, and reports it", () => {
    const { terms, metrics } = createGaussian(mapOptions(0)).forward(zE(), {}, still());
    expect(Object.keys(terms)).toEqual(["kl"]);
    expect(terms["kl"]?.weight).toBe(0.5 / 12);
    expect(scalar(terms["kl"]?.value)).toBeCloseTo(CHANNELS[0] + CHANNELS[1], 5);
    expect(scalar(metrics["klNats"])).toBeCloseTo(CHANNELS[0] + CHANNELS[1], 5);
  });

  test("averages over images before anything is free", () => {
    const leaf = createGaussian({ ...mapOptions(1.5), batchSize: 2 });
    const both = tf.concat([zE(), tf.zerosLike(zE())], 0);
    const { terms, metrics } = leaf.forward(both, {}, { noise: tf.zeros([2, 1, 2, 2]) });
    expect(CHANNELS[0] / 2).toBeGreaterThan(1.5);
    expect(scalar(terms["kl"]?.value)).toBeCloseTo(CHANNELS[0] / 2 + 1.5, 5);
    expect(scalar(metrics["klNats"])).toBeCloseTo((CHANNELS[0] + CHANNELS[1]) / 2, 5);
  });

  test("free bits: a channel is charged the larger of its KL and the allowance, and has no gradient below it", () => {
    const leaf = createGaussian(mapOptions(0.5));
    const charged = (x: tf.Tensor): tf.Tensor => leaf.forward(x, {}, still()).terms["kl"]?.value ?? tf.scalar(NaN);
    const { value, grad } = tf.valueAndGrad(charged)(zE());
    expect(value.dataSync()[0]).toBeCloseTo(CHANNELS[0] + 0.5, 5);
    // d/dμ = μ, d/dlog σ² = (σ² − 1) / 2 for channel 0; nothing for channel 1.
    expectTensorsClose(grad, tf.tensor([1, 0, 0, 0, 2, 0, 1.5, 0], [1, 1, 2, 4]));
    expect(scalar(leaf.forward(zE(), {}, still()).metrics["klNats"])).toBeCloseTo(CHANNELS[0] + CHANNELS[1], 5);
  });
});

describe("one vector an image", () => {
  const leaf = createGaussianVector({ ...options, freeBits: 0.2 });
  const { spec, values } = leaf.initialState(Rng.fromSeed(4));
  const state = () => toTensors(spec, values);
  const x = () => noise([BATCH_SIZE, ...GRID, 16]);

  test("is as long as the code dimension, and its KL is that of the vector, by channel", () => {
    const { mean, logVariance } = leaf.posterior(x(), state());
    expect(mean.shape).toEqual([BATCH_SIZE, 2]);
    const each = numbers(mean).map((value, i) => kl(value, numbers(logVariance)[i] ?? NaN));
    const channels = [0, 1].map((c) => ((each[c] ?? NaN) + (each[2 + c] ?? NaN)) / 2);
    const { terms, metrics } = leaf.forward(x(), state(), { noise: tf.zeros([BATCH_SIZE, 2]) });
    const charged = channels.reduce((sum, nats) => sum + Math.max(nats, 0.2), 0);
    expect(scalar(terms["kl"]?.value)).toBeCloseTo(charged, 5);
    expect(scalar(metrics["klNats"])).toBeCloseTo(channels.reduce((a, b) => a + b), 5); // prettier-ignore
  });

  test("the noise moves z by σ · noise through the linear map", () => {
    const epsilon = noise([BATCH_SIZE, 2], 8);
    const q = leaf.posterior(x(), state());
    const { z } = leaf.forward(x(), state(), { noise: epsilon });
    expectTensorsClose(z, leaf.fromLatent(sampleLatent(q, epsilon), state()), 0);
    expect(scalar(tf.max(tf.abs(tf.sub(z, leaf.fromLatent(q.mean, state())))))).toBeGreaterThan(1e-3);
  });
});
