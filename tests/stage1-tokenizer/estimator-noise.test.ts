/** The noise of gradient estimators: none where nothing is drawn, and what theory says where something is. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Arrays, Engine, Trainer } from "../../shared/engine/engine.ts";
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { Rng } from "../../shared/rng.ts";
import {
  estimatorNoise,
  type EstimatorNoise,
  type EstimatorNoiseOptions,
} from "../../stage1-tokenizer/estimator-noise.ts";
import { initialTokenizerState } from "../../stage1-tokenizer/training-step.ts";
import { tinyImages } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const engine = createOnnxEngine({ threads: 1 });
const images = tinyImages(2);
const measure = (bottleneck: string, changes: Partial<EstimatorNoiseOptions> = {}): Promise<EstimatorNoise> =>
  estimatorNoise({ config: tinyConfig({ bottleneck }), engine, images, seed: 3, draws: 8, ...changes });

test.each(["vq", "st-softmax", "none"])("%s draws nothing and has none", async (bottleneck) => {
  const noise = await measure(bottleneck);
  expect(noise).toMatchObject({ variance: 0, relative: 0 });
  expect(noise.squaredMean).toBeGreaterThan(0);
});

describe("where something is drawn", () => {
  let gumbel: EstimatorNoise;
  beforeAll(async () => {
    gumbel = await measure("gumbel");
  });

  test("REINFORCE has more of it than Gumbel-softmax at the same first weights", async () => {
    expect(gumbel.relative).toBeGreaterThan(0);
    expect((await measure("reinforce")).relative).toBeGreaterThan(4 * gumbel.relative);
  });

  test("it is the same for the same seed and weights, and another for others", async () => {
    const config = tinyConfig({ bottleneck: "gumbel" });
    const own = initialTokenizerState(config, Rng.fromSeed(3).fork("tokenizer").fork("initial"));
    expect(await measure("gumbel", { state: own })).toEqual(gumbel);
    expect(await measure("gumbel", { state: initialTokenizerState(config, Rng.fromSeed(9)) })).not.toEqual(gumbel);
    expect(await measure("gumbel", { state: own, seed: 4 })).not.toEqual(gumbel);
  });
});

describe("the arithmetic", () => {
  /** An engine whose gradients are `signal` plus noise of the deviation `sigma` in each of D encoder weights. */
  const D = 400;
  function toyEngine(signal: number, sigma: number): { engine: Engine; disposed: () => boolean } {
    const rng = Rng.fromSeed(11);
    let disposed = false;
    const gradients = (): Arrays => ({
      "encoder.a": rng.fill(D, (stream) => signal + sigma * stream.normal()),
      "decoder.a": rng.fill(D, (stream) => 100 * stream.normal()),
    });
    const trainer: Trainer = {
      gradients: async () => ({ gradients: gradients(), statistics: {}, metrics: {} }),
      step: async () => ({}),
      update: async () => undefined,
      state: async () => ({}),
      load: async () => undefined,
      dispose: async () => {
        disposed = true;
      },
    };
    const toy: Engine = { ...engine, createTrainer: async () => trainer };
    return { engine: toy, disposed: () => disposed };
  }
  const noiseOf = (signal: number, sigma: number, draws: number): Promise<EstimatorNoise> =>
    measure("gumbel", { engine: toyEngine(signal, sigma).engine, draws });

  test.each([
    [1, 0.5, 16],
    [1, 2, 16],
    [1, 3, 64],
  ])(
    "signal %d, deviation %d, %i draws: variance and signal are those of the encoder alone",
    async (signal, sigma, draws) => {
      const { variance, squaredMean, relative } = await noiseOf(signal, sigma, draws);
      expect(Math.abs(variance / (D * sigma ** 2) - 1)).toBeLessThan(0.1);
      expect(Math.abs(squaredMean / (D * signal ** 2) - 1)).toBeLessThan(0.2);
      expect(relative).toBeCloseTo(variance / squaredMean, 9);
    },
  );

  test("the signal does not grow by the noise that few draws leave in their mean", async () => {
    for (const draws of [8, 16, 64]) {
      const { squaredMean } = await noiseOf(1, 2, draws);
      expect(Math.abs(squaredMean / D - 1), `${draws} draws`).toBeLessThan(0.3);
    }
  });

  test.each([2, 8, 64])(
    "a signal that %i draws cannot tell from noise gives their number, a lower bound",
    async (draws) => {
      const { relative } = await noiseOf(0.01, 10, draws);
      expect(relative).toBe(draws);
    },
  );

  test("the trainer is disposed of", async () => {
    const toy = toyEngine(1, 1);
    await measure("gumbel", { engine: toy.engine });
    expect(toy.disposed()).toBe(true);
  });
});
