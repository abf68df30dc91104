/**
 * Every bottleneck and every reconstruction loss in a whole tokenizer, onnx against the oracle: training steps, figures of held-out
 * images, exported graphs. The pairs are chosen so that each leaf occurs; `steps.test.ts` looks closer at two of them.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Arrays, Engine } from "../../shared/engine/engine.ts";
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { createTfjsEngine } from "../../shared/engine/tfjs-engine.ts";
import { entryOf, type InitialState } from "../../shared/nn/state.ts";
import { createSession, type OnnxSession, type TensorValue } from "../../shared/onnx/session.ts";
import { Rng } from "../../shared/rng.ts";
import { BOTTLENECKS, makesTokens, RECONSTRUCTIONS, type TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import { exportGraphs } from "../../stage1-tokenizer/export.ts";
import { createEvaluator } from "../../stage1-tokenizer/held-out.ts";
import { createPreprocessing, recordSet, type ImageRecord } from "../../stage1-tokenizer/images/index.ts";
import {
  evaluationState,
  imagesToFeatures,
  imagesToLatents,
  imagesToTokens,
  latentsToImages,
  tokensToImages,
} from "../../stage1-tokenizer/model/tokenize.ts";
import { createTokenizerStep, initialTokenizerState, tokenizerBatch } from "../../stage1-tokenizer/training-step.ts";
import { tinyImages, untrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";
import { expectClose } from "./compare.ts";

const small = (overrides: Readonly<Record<string, unknown>>): TokenizerConfig =>
  tinyConfig({ hidden: 4, residualHidden: 2, codebookSize: 6, codeDimension: 3, ...overrides });

/** First weights whose encoder says more than they usually do, so that codes and latents differ over an image. */
function outspoken(config: TokenizerConfig): InitialState {
  const { spec, values } = untrained(config).state;
  const name = "weight/encoder.toCode.kernel";
  return { spec, values: { ...values, [name]: Float32Array.from(entryOf(values, name), (value) => 20 * value) } };
}

const PAIRS = [
  { bottleneck: "vq", reconstruction: "l1", normalizeCodes: true, gradientClip: 0.01 },
  { bottleneck: "vq-ema", reconstruction: "bce", normalizeCodes: true, revivalThreshold: 0.9 },
  { bottleneck: "st-softmax", reconstruction: "l1", weightEmaDecay: 0.9 },
  { bottleneck: "gumbel", reconstruction: "bce", temperature: 2, temperatureFloor: 0.5, steps: 5 },
  { bottleneck: "reinforce", reconstruction: "logistic", gradientClip: 100 },
  { bottleneck: "fsq", reconstruction: "gaussian", levels: [5, 4], codebookSize: 20 },
  { bottleneck: "gaussian", reconstruction: "logistic", freeBits: 0.05 },
  { bottleneck: "gaussian-vector", reconstruction: "gaussian", klWeight: 0.5 },
  { bottleneck: "none", reconstruction: "l2", weightEmaDecay: 0.9 },
] as const;

let engines: readonly Engine[] = [];
beforeAll(async () => {
  engines = [createOnnxEngine({ threads: 1 }), await createTfjsEngine("oracle")];
});

async function onBoth<T>(work: (engine: Engine) => Promise<T>): Promise<[onnx: T, oracle: T]> {
  const results: T[] = [];
  for (const engine of engines) results.push(await work(engine));
  return results as [T, T];
}

it("names every leaf", () => {
  expect(new Set(PAIRS.map(({ bottleneck }) => bottleneck))).toEqual(new Set(BOTTLENECKS));
  expect(new Set(PAIRS.map(({ reconstruction }) => reconstruction))).toEqual(new Set(RECONSTRUCTIONS));
});

describe.each(PAIRS)("$bottleneck with $reconstruction", (overrides) => {
  const config = small(overrides);

  it("steps to the same gradients, metrics and state", async () => {
    const rng = Rng.fromSeed(12);
    const { spec, draw } = tokenizerBatch(config);
    const state = initialTokenizerState(config, rng.fork("state"));
    const batch = (step: number): Arrays => ({
      images: tinyImages(4).subarray(step * 384, (step + 1) * 384),
      ...draw(rng.fork("draw", step)),
    });
    const [onnx, oracle] = await onBoth(async (engine) => {
      const trainer = await engine.createTrainer(createTokenizerStep(config, { variance: 0.08 }), state, spec);
      const { gradients, statistics } = await trainer.gradients(batch(0));
      const metrics = [await trainer.step(batch(0)), await trainer.step(batch(1))] as const;
      const end = await trainer.state();
      await trainer.dispose();
      return { gradients, statistics, metrics, end };
    });
    expectClose(onnx.gradients, oracle.gradients);
    expectClose(onnx.statistics, oracle.statistics);
    expectClose(onnx.metrics[0], oracle.metrics[0]);
    expectClose(onnx.metrics[1], oracle.metrics[1], 1e-4); // Adam's first step is the sign of a gradient, however small
    expectClose(onnx.end, oracle.end, 1e-4);
    expect(Object.values(onnx.end).every((values) => values.every(Number.isFinite))).toBe(true);
  });

  it("has the same figures on held-out images", async () => {
    const state = outspoken(config);
    const images = tinyImages(3);
    const records = [0, 1, 2].map((i): ImageRecord => {
      const pixels = images.subarray(i * 192, (i + 1) * 192);
      return { key: `${i}`, family: `${i}`, read: () => Promise.resolve({ pixels, height: 8, width: 8, channels: 3 }) };
    });
    const set = recordSet(records);
    const preprocessing = createPreprocessing([8, 8]);
    const [onnx, oracle] = await onBoth(async (engine) => {
      const evaluator = await createEvaluator({ config, spec: state.spec, engine, set, preprocessing });
      const figures = await evaluator.run(state.values);
      await evaluator.dispose();
      return figures;
    });
    expect(Object.keys(onnx).sort()).toEqual(Object.keys(oracle).sort());
    for (const [name, value] of Object.entries(oracle)) {
      const got = (onnx as Readonly<Record<string, number>>)[name] ?? NaN;
      // A level may round to either side of a half.
      expect(Math.abs(got - value), name).toBeLessThan(2e-3 * Math.max(1, Math.abs(value)));
    }
  });
});

describe.each([
  { bottleneck: "fsq", levels: [5, 4], codebookSize: 20, reconstruction: "bce" },
  { bottleneck: "gumbel" },
  { bottleneck: "reinforce" },
  { bottleneck: "vq", normalizeCodes: true },
  { bottleneck: "gaussian", reconstruction: "logistic" },
  { bottleneck: "gaussian-vector", reconstruction: "bce" },
  { bottleneck: "none" },
])("exported graphs of $bottleneck", (overrides) => {
  const config = small(overrides);
  const trained = outspoken(config);
  const state = { spec: evaluationState(trained.spec), values: evaluationState(trained.values) };
  const COUNT = 3; // none of the sizes of the graph
  const images = tinyImages(COUNT);
  const sessions: OnnxSession[] = [];
  afterAll(() => Promise.all(sessions.map((session) => session.dispose())));

  async function run(model: Uint8Array, feeds: Readonly<Record<string, TensorValue>>): Promise<TensorValue> {
    const session = await createSession(model, { threads: 1 });
    sessions.push(session);
    const [output] = Object.values(await session.run(feeds));
    if (output === undefined) throw new Error("A graph has one output.");
    return output;
  }
  const ofImages: Readonly<Record<string, TensorValue>> = {
    image: { type: "uint8", shape: [COUNT, 8, 8, 3], data: images },
  };
  const numbers = ({ data }: TensorValue): number[] => Array.from(data as ArrayLike<number | bigint>, Number);

  it("say what the training code says on the oracle", async () => {
    const { encoder, decoder, features } = exportGraphs(config, state);
    const code = await run(encoder, ofImages);
    const decoded = await run(decoder, { [makesTokens(config) ? "tokens" : "latent"]: code });
    const averaged = await run(features, ofImages);

    const oracle = engines[1] as Engine;
    const imageSpec = { images: { shape: [COUNT, 8, 8, 3], dtype: "uint8" } } as const;
    const compiled = await oracle.compile(
      (inputs) => {
        const { images: levels, ...weights } = inputs;
        if (levels === undefined) throw new Error("There are images.");
        const choose = makesTokens(config) ? imagesToTokens : imagesToLatents;
        const rebuild = makesTokens(config) ? tokensToImages : latentsToImages;
        const chosen = choose(config, weights, levels);
        return {
          code: chosen,
          decoded: rebuild(config, weights, chosen),
          features: imagesToFeatures(config, weights, levels),
        };
      },
      { ...state.spec, ...imageSpec },
    );
    const expected = await compiled.run({ ...state.values, images });
    await compiled.dispose();

    if (makesTokens(config)) {
      expect(numbers(code)).toEqual([...(expected["code"] ?? [])]);
      expect(new Set(numbers(code)).size).toBeGreaterThan(2);
    } else expectClose({ code: Float32Array.from(numbers(code)) }, { code: expected["code"] ?? new Float32Array() });
    expectClose({ of: Float32Array.from(numbers(averaged)) }, { of: expected["features"] ?? new Float32Array() });
    expect(averaged.shape).toEqual([COUNT, config.hidden]);
    expect(decoded.shape).toEqual([COUNT, 8, 8, 3]);
    numbers(decoded).forEach((level, i) =>
      expect(Math.abs(level - (expected["decoded"]?.[i] ?? NaN))).toBeLessThanOrEqual(1),
    );
    expect(new Set(numbers(decoded)).size).toBeGreaterThan(5);
  });
});
