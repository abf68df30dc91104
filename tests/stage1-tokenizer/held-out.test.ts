/** Figures on held-out images during training: every image once, without noise, under the averaged weights; and which figures there are. */
import { afterAll, describe, expect, test } from "vitest";
import type { Arrays } from "../../shared/engine/engine.ts";
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { entryOf } from "../../shared/nn/state.ts";
import type { TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import type { ModelFigures } from "../../stage1-tokenizer/evaluate.ts";
import { createEvaluator } from "../../stage1-tokenizer/held-out.ts";
import {
  createPreprocessing,
  recordSet,
  type ImageRecord,
  type RecordSet,
} from "../../stage1-tokenizer/images/index.ts";
import { tinyImages, untrained } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const COUNT = 5;
const PIXELS = 192;
const images = tinyImages(COUNT);
const engine = createOnnxEngine({ threads: 1 });
afterAll(() => engine.dispose());

/** Counts how often each image is read. */
function countedSet(broken: readonly number[] = []): { set: RecordSet; reads: number[] } {
  const reads = Array<number>(COUNT).fill(0);
  const records = reads.map((_, i): ImageRecord => ({
    key: `${i}`,
    family: `${i}`,
    read: () => {
      reads[i] = (reads[i] ?? 0) + 1;
      if (broken.includes(i)) return Promise.resolve(new TextEncoder().encode("no image"));
      const pixels = images.subarray(i * PIXELS, (i + 1) * PIXELS);
      return Promise.resolve({ pixels, height: 8, width: 8, channels: 3 });
    },
  }));
  return { set: recordSet(records), reads };
}

async function measure(
  config: TokenizerConfig,
  { set = countedSet().set, values = untrained(config).state.values }: { set?: RecordSet; values?: Arrays } = {},
): Promise<ModelFigures> {
  const { spec } = untrained(config).state;
  const evaluator = await createEvaluator({ config, spec, engine, set, preprocessing: createPreprocessing([8, 8]) });
  const figures = await evaluator.run(values);
  expect(await evaluator.run(values)).toEqual(figures);
  await evaluator.dispose();
  return figures;
}

/** First weights under which a posterior has hardly any spread, so that it does not matter how the noise falls on batches. */
function certain(config: TokenizerConfig): Arrays {
  const { values } = untrained(config).state;
  const bias = config.bottleneck === "gaussian" ? "weight/encoder.toCode.bias" : "weight/codebook.toLatent.bias";
  if (!config.bottleneck.startsWith("gaussian")) return values;
  const half = entryOf(values, bias).length / 2;
  return { ...values, [bias]: Float32Array.from({ length: 2 * half }, (_, i) => (i < half ? 0 : -100)) };
}

const RECONSTRUCTION = ["mse", "nmse", "psnr", "ssim"];
const CODES = ["usage", "codesUsed", "perplexity", "bitsPerImage", "entropyBitsPerImage"];
const LATENTS = ["reconstructionNats", "klNats", "elbo", "bitsPerDim", "activeUnits", "latentUnits"];

/** Variance of all values of the first `count` images. */
function varianceOf(count: number): number {
  const values = [...images.subarray(0, count * PIXELS)];
  const mean = values.reduce((a, b) => a + b) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}

describe.each([
  ["vq", {}, [...RECONSTRUCTION, ...CODES]],
  ["fsq", { levels: [2, 4] }, [...RECONSTRUCTION, ...CODES]],
  ["gumbel", {}, [...RECONSTRUCTION, ...CODES]],
  ["none", {}, RECONSTRUCTION],
  ["gaussian", {}, [...RECONSTRUCTION, ...LATENTS]],
  ["gaussian-vector", { reconstruction: "bce" }, [...RECONSTRUCTION, ...LATENTS]],
] as const)("figures of %s", (bottleneck, more, names) => {
  const config = (batchSize: number): TokenizerConfig => tinyConfig({ bottleneck, batchSize, ...more });

  test("are those that the bottleneck has", async () => {
    expect(Object.keys(await measure(config(2))).sort()).toEqual([...names].sort());
  });

  test("count every image once, whatever the batch: full, cut, or larger than the set", async () => {
    const values = certain(config(COUNT));
    const whole = await measure(config(COUNT), { values });
    expect((whole.mse ?? NaN) / (whole.nmse ?? NaN)).toBeCloseTo(varianceOf(COUNT), 6);
    for (const batchSize of [1, 2, 4, 8]) {
      const { set, reads } = countedSet();
      const figures = await measure(config(batchSize), { set, values });
      expect(reads).toEqual(Array(COUNT).fill(2)); // two passes
      for (const [name, value] of Object.entries(whole)) {
        const got = (figures as Readonly<Record<string, number>>)[name] ?? NaN;
        expect(Math.abs(got - value), `${name} at batch ${batchSize}`).toBeLessThan(
          2e-3 * Math.max(1, Math.abs(value)),
        );
      }
    }
  });
});

describe("figures", () => {
  test("of a VAE add up, and its units are the latents", async () => {
    const config = tinyConfig({ bottleneck: "gaussian" });
    const { reconstructionNats = NaN, klNats = NaN, elbo, bitsPerDim, latentUnits } = await measure(config);
    expect(elbo).toBeCloseTo(-(reconstructionNats + klNats), 8);
    expect(bitsPerDim).toBeCloseTo((reconstructionNats + klNats) / PIXELS / Math.LN2, 8);
    expect(klNats).toBeGreaterThan(0);
    expect(latentUnits).toBe(4 * 4 * 4);
    expect((await measure(tinyConfig({ bottleneck: "gaussian-vector" }))).latentUnits).toBe(4);
  });

  test("of a posterior that is the prior: no active unit, no KL", async () => {
    const config = tinyConfig({ bottleneck: "gaussian" });
    const { values } = untrained(config).state;
    const silent = ["weight/encoder.toCode.kernel", "weight/encoder.toCode.bias"].map((name) => [
      name,
      new Float32Array(entryOf(values, name).length),
    ]);
    const collapsed = await measure(config, { values: { ...values, ...Object.fromEntries(silent) } as Arrays });
    expect(collapsed).toMatchObject({ activeUnits: 0, klNats: 0 });
  });

  test("are those of the averaged weights where averages are kept", async () => {
    const config = tinyConfig({ bottleneck: "vq", weightEmaDecay: 0.9 });
    const { values } = untrained(config).state;
    const moved = (group: string): Arrays => {
      const name = `${group}/decoder.up0.bias`;
      return { ...values, [name]: Float32Array.from(entryOf(values, name), (value) => value + 0.3) };
    };
    const figures = await measure(config);
    expect(await measure(config, { values: moved("weight") })).toEqual(figures);
    expect((await measure(config, { values: moved("ema") })).mse).not.toBe(figures.mse);
  });

  test("leave out images that cannot be decoded; without one left there is nothing to measure (3)", async () => {
    const config = tinyConfig({ bottleneck: "none" });
    const { mse = NaN, nmse = NaN } = await measure(config, { set: countedSet([3, 4]).set });
    expect(mse / nmse).toBeCloseTo(varianceOf(3), 6);
    await expect(measure(config, { set: countedSet([0, 1, 2, 3, 4]).set })).rejects.toMatchObject({ exitCode: 3 });
  });
});
