import { beforeAll, describe, expect, test } from "vitest";
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { group } from "../../shared/nn/state.ts";
import { Rng } from "../../shared/rng.ts";
import type { KMeansStart } from "../../stage1-tokenizer/bottleneck/bottleneck.ts";
import { createDiscrete } from "../../stage1-tokenizer/bottleneck/create-bottleneck.ts";
import type { TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import { imagesToZE } from "../../stage1-tokenizer/model/tokenize.ts";
import { kMeans } from "../../stage1-tokenizer/bottleneck/k-means.ts";
import {
  createTokenizerStep,
  initialTokenizerState,
  startCodebook,
  tokenizerBatch,
} from "../../stage1-tokenizer/training-step.ts";
import { toTensors } from "../contracts/bottleneck.ts";
import { tinyConfig } from "./tiny-config.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** Two images of coloured quarters. */
function tinyImages(): Uint8Array {
  const rng = Rng.fromSeed(8);
  const colours = rng.fill(2 * 4 * 3, (stream) => stream.integer(256));
  return Uint8Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => {
    const [image, y, x, c] = [Math.floor(i / 192), Math.floor(i / 24) % 8, Math.floor(i / 3) % 8, i % 3];
    return colours[((image * 2 + (y >> 2)) * 2 + (x >> 2)) * 3 + c] ?? 0;
  });
}
function setUp(overrides: Readonly<Record<string, unknown>>): {
  config: TokenizerConfig;
  state: Tensors;
  batch: Tensors;
} {
  const config = tinyConfig(overrides);
  const { spec, draw } = tokenizerBatch(config);
  const batch = toTensors(spec, { images: tinyImages(), ...draw(Rng.fromSeed(2)) });
  const initial = initialTokenizerState(config, Rng.fromSeed(1));
  const images = batch["images"] ?? tf.scalar(NaN);
  const points = imagesToZE(config, toTensors(initial.spec, initial.values), images).dataSync<"float32">();
  const clusters = kMeans(Float32Array.from(points), config, Rng.fromSeed(3));
  return {
    config,
    batch,
    state: toTensors(initial.spec, startCodebook(kMeansStartOf(config), initial.values, clusters)),
  };
}
const kMeansStartOf = (config: TokenizerConfig): KMeansStart => {
  const start = createDiscrete(config).kMeansStart;
  if (start === undefined) throw new Error("This bottleneck has no codes to start.");
  return start;
};
const value = (tensors: Tensors, name: string): number => tensors[name]?.dataSync()[0] ?? NaN;

describe.each([{ bottleneck: "vq" }, { bottleneck: "vq-ema" }, { bottleneck: "vq-ema", weightEmaDecay: 0.99 }])(
  "%o",
  (overrides) => {
    test("gradients for every weight, statistics and scalar metrics whose parts add up", () => {
      const { config, state, batch } = setUp(overrides);
      const { gradients, metrics } = createTokenizerStep(config, { variance: 0.05 }).gradients(state, batch);
      const weights = group(state, "weight");
      expect(Object.keys(gradients).sort()).toEqual(Object.keys(weights).sort());
      for (const [name, weight] of Object.entries(weights)) expect(gradients[name]?.shape).toEqual(weight.shape);
      const sum =
        value(metrics, "reconstructionLoss") +
        ("codebookLoss" in metrics ? value(metrics, "codebookLoss") : 0) +
        0.25 * value(metrics, "commitmentLoss");
      expect(value(metrics, "loss")).toBeCloseTo(sum, 5);
      expect(value(metrics, "perplexity")).toBeGreaterThanOrEqual(1);
      for (const tensor of Object.values(metrics)) expect(tensor.shape).toEqual([]);
    });

    test("an update returns every entry of the state in its shape, one step later, and moves what it should", () => {
      const { config, state, batch } = setUp(overrides);
      const step = createTokenizerStep(config, { variance: 0.05 });
      const { gradients, statistics } = step.gradients(state, batch);
      const next = step.update(state, gradients, statistics);
      expect(Object.keys(next).sort()).toEqual(Object.keys(state).sort());
      for (const [name, tensor] of Object.entries(state)) {
        expect(next[name]?.shape).toEqual(tensor.shape);
        // Ages and revivals only count what may not have happened.
        if (!/^(codes\/age|codebook\/revivals)$/.test(name))
          expect(next[name]?.dataSync(), name).not.toEqual(tensor.dataSync());
      }
      expect(value(next, "step")).toBe(1);
    });

    test("thirty steps on one batch lower the reconstruction loss by a third", () => {
      const { config, state, batch } = setUp(overrides);
      const step = createTokenizerStep(config, { variance: 0.05 });
      let current = state;
      const losses: number[] = [];
      for (let i = 0; i < 30; i++) {
        const before = current;
        const { gradients, statistics, metrics } = step.gradients(before, batch);
        losses.push(value(metrics, "reconstructionLoss"));
        current = tf.tidy(() => step.update(before, gradients, statistics));
      }
      expect(losses.every(Number.isFinite)).toBe(true);
      expect(losses.at(-1) ?? NaN).toBeLessThan((losses[0] ?? NaN) * (2 / 3));
    });

    test("a step leaves no tensor behind but its results", () => {
      const { config, state, batch } = setUp(overrides);
      const step = createTokenizerStep(config, { variance: 0.05 });
      const before = tf.memory().numTensors;
      const kept = tf.tidy(() => {
        const { gradients, statistics, metrics } = step.gradients(state, batch);
        const next = step.update(state, gradients, statistics);
        return { ...gradients, ...statistics, ...metrics, ...next };
      });
      tf.dispose(kept);
      expect(tf.memory().numTensors).toBe(before);
    });
  },
);

test("decoder gradients agree with finite differences", () => {
  const { config, state, batch } = setUp({ bottleneck: "vq" });
  const step = createTokenizerStep(config, { variance: 0.05 });
  const { gradients } = step.gradients(state, batch);
  const rng = Rng.fromSeed(6);
  // Smooth in the decoder's weights; the encoder's pass through the straight-through estimator, which is no derivative.
  for (const name of ["decoder.up0.bias", "decoder.up0.kernel"]) {
    const weight = state[`weight/${name}`] ?? tf.scalar(NaN);
    const direction = tf.tensor(
      rng.fill(weight.size, (stream) => stream.normal()),
      weight.shape,
    );
    const along = (by: number): number => {
      const moved = { ...state, [`weight/${name}`]: tf.add(weight, tf.mul(direction, by)) };
      return value(step.gradients(moved, batch).metrics, "loss");
    };
    const expected = (along(1e-2) - along(-1e-2)) / 2e-2;
    const got = tf.sum(tf.mul(gradients[name] ?? tf.scalar(NaN), direction)).dataSync()[0] ?? NaN;
    expect(Math.abs(got - expected)).toBeLessThan(2e-3 * Math.max(1, Math.abs(expected)));
  }
});

test("the encoder's gradient is the decoder's, copied past the bottleneck: β = 0 and a bias of the last encoder layer", () => {
  const { config, state, batch } = setUp({ commitmentWeight: 0 });
  const { gradients } = createTokenizerStep(config, { variance: 0.05 }).gradients(state, batch);
  expect(tf.sum(tf.abs(gradients["encoder.toCode.bias"] ?? tf.scalar(0))).dataSync()[0]).toBeGreaterThan(0);
});

test("the averages of weights start with the codebook's clusters", () => {
  const config = tinyConfig({ bottleneck: "vq", weightEmaDecay: 0.9 });
  const { values } = initialTokenizerState(config, Rng.fromSeed(1));
  const clusters = { centroids: new Float32Array(32).fill(7), counts: new Float32Array(8).fill(1) };
  const started = startCodebook(kMeansStartOf(config), values, clusters);
  expect(started["ema/codebook.embedding"]).toEqual(clusters.centroids);
  expect(Object.keys(started)).toEqual(Object.keys(values));
});

test.each([0, NaN])("images of variance %d are refused", (variance) => {
  expect(() => createTokenizerStep(tinyConfig({}), { variance })).toThrow(/no variance/);
});
