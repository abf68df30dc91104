/** Whole training steps, onnx against the oracle: both halves, fused and apart, and what export makes of the same functions. */
import { beforeAll, describe, expect, it } from "vitest";

import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { createTfjsEngine } from "../../shared/engine/tfjs-engine.ts";
import type { Arrays, Engine, Signature, TrainingStep } from "../../shared/engine/engine.ts";
import type { InitialState } from "../../shared/nn/state.ts";
import { Rng } from "../../shared/rng.ts";
import { tokenizerConfig } from "../../stage1-tokenizer/presets.ts";
import { createTokenizerStep, initialTokenizerState, tokenizerBatch } from "../../stage1-tokenizer/training-step.ts";
import { priorConfig } from "../../stage2-prior/config.ts";
import type { LearntObjective } from "../../stage2-prior/signature.ts";
import { createPriorStep, initialPriorState, priorBatch } from "../../stage2-prior/training-step.ts";
import { expectClose } from "./compare.ts";

interface Case {
  readonly step: TrainingStep;
  readonly state: InitialState;
  readonly spec: Signature;
  readonly batch: (step: number) => Arrays;
}

function tokenizerCase(bottleneck: "vq" | "vq-ema", stride: number): Case {
  const size = { imageSize: 16, stride, hidden: 8, residualHidden: 4, codebookSize: 7, codeDimension: 4, batchSize: 2 };
  const config = tokenizerConfig("emoji64", {
    ...size,
    bottleneck,
    schedule: "warmup-cosine",
    warmupSteps: 2,
    steps: 9,
    weightEmaDecay: 0.9,
  });
  const rng = Rng.fromSeed(3);
  const { spec, draw } = tokenizerBatch(config);
  return {
    step: createTokenizerStep(config, { variance: 0.08 }),
    state: initialTokenizerState(config, rng.fork("state")),
    spec,
    batch: (step) => {
      const images = Uint8Array.from({ length: 2 * 16 * 16 * 3 }, (_, i) => (i * (7 + step) + (i >> 4)) & 255);
      return { images, ...draw(rng.fork("draw", step)) };
    },
  };
}

function priorCase(objective: LearntObjective, overrides: object = {}): Case {
  const size = {
    width: 16,
    layers: 2,
    heads: 2,
    feedForward: 24,
    codebookSize: 7,
    grid: [4, 4],
    classes: 3,
    batchSize: 2,
  };
  const config = priorConfig("emoji-small", { objective, ...size, steps: 9, warmupSteps: 2, ...overrides });
  const rng = Rng.fromSeed(5);
  const form = priorBatch(config);
  return {
    step: createPriorStep(config),
    state: initialPriorState(config, rng.fork("state")),
    spec: form.spec,
    batch: (step) => {
      const tokens = Int32Array.from({ length: 32 }, (_, i) => rng.fork("token", step, i).integer(7));
      return form.prepare({ tokens, labels: Int32Array.of(1, -1), keys: ["a", "b"] }, rng.fork(step));
    },
  };
}

const CASES: readonly (readonly [string, () => Case])[] = [
  ["VQ-VAE, vq-ema, stride 2", () => tokenizerCase("vq-ema", 2)],
  ["VQ-VAE, vq, stride 4", () => tokenizerCase("vq", 4)],
  ["causal Transformer", () => priorCase("causal")],
  ["masked Transformer with dropout", () => priorCase("masked", { dropout: 0.25 })],
  ["diffusion Transformer", () => priorCase("diffusion")],
  ["PixelCNN with dropout", () => priorCase("pixelcnn", { dropout: 0.25 })],
];

describe.each(CASES)("%s", (_name, create) => {
  let engines: readonly Engine[] = [];
  beforeAll(async () => {
    engines = [createOnnxEngine({ threads: 2 }), await createTfjsEngine("oracle")];
  });

  /** What each engine makes of the same work, onnx first. */
  async function onBoth<T>(work: (engine: Engine, example: Case) => Promise<T>): Promise<[onnx: T, oracle: T]> {
    const results: T[] = [];
    for (const engine of engines) results.push(await work(engine, create()));
    return results as [T, T];
  }

  it("gives the same metrics and state after three fused steps", async () => {
    const [onnx, oracle] = await onBoth(async (engine, { step, state, spec, batch }) => {
      const trainer = await engine.createTrainer(step, state, spec);
      const metrics: Arrays[] = [];
      for (let i = 0; i < 3; i++) metrics.push(await trainer.step(batch(i)));
      const end = await trainer.state();
      await trainer.dispose();
      return { metrics, end };
    });
    for (const [i, metrics] of onnx.metrics.entries()) expectClose(metrics, oracle.metrics[i] ?? {});
    // Adam divides by the root of tiny second moments: three steps of rounding are a little more than one.
    expectClose(onnx.end, oracle.end, 1e-4);
  });

  it("gives the same gradients and statistics, to 1e-5", async () => {
    const [onnx, oracle] = await onBoth(async (engine, { step, state, spec, batch }) => {
      const trainer = await engine.createTrainer(step, state, spec);
      const result = await trainer.gradients(batch(0));
      expect(await trainer.state()).toEqual(state.values);
      await trainer.dispose();
      return result;
    });
    expectClose(onnx.gradients, oracle.gradients);
    expectClose(onnx.statistics, oracle.statistics);
    expectClose(onnx.metrics, oracle.metrics);
  });

  it("comes to the same state in halves as fused", async () => {
    const [onnx, oracle] = await onBoth(async (engine, { step, state, spec, batch }) => {
      const [fused, halved] = [
        await engine.createTrainer(step, state, spec),
        await engine.createTrainer(step, state, spec),
      ];
      await fused.step(batch(0));
      const { gradients, statistics } = await halved.gradients(batch(0));
      await halved.update(gradients, statistics);
      const states = [await fused.state(), await halved.state()] as const;
      await Promise.all([fused.dispose(), halved.dispose()]);
      return states;
    });
    expectClose(onnx[1], onnx[0]);
    expectClose(oracle[1], oracle[0]);
  });

  it("continues from a loaded state bit for bit", async () => {
    const { step, state, spec, batch } = create();
    const engine = engines[0] as Engine;
    const [first, second] = [
      await engine.createTrainer(step, state, spec),
      await engine.createTrainer(step, state, spec),
    ];
    await first.step(batch(0));
    await second.load(await first.state());
    await first.step(batch(1));
    await second.step(batch(1));
    expect(await second.state()).toEqual(await first.state());
    await Promise.all([first.dispose(), second.dispose()]);
  });

  it("has gradients that finite differences confirm", async () => {
    const { step, state, spec, batch } = create();
    const engine = engines[0] as Engine;
    const trainer = await engine.createTrainer(step, state, spec);
    const { gradients } = await trainer.gradients(batch(0));
    // Straight-through and clipped gradients are not the loss's own: only weights behind every such step are compared.
    const name = Object.keys(gradients).findLast((key) => /^(decoder\.up\d\.bias|head\.bias)$/.test(key)) ?? "";
    const lossAt = async (delta: number): Promise<number> => {
      const moved = Float32Array.from(state.values[`weight/${name}`] ?? []);
      moved[1] = (moved[1] ?? 0) + delta;
      await trainer.load({ ...state.values, [`weight/${name}`]: moved });
      return (await trainer.gradients(batch(0))).metrics["loss"]?.[0] ?? NaN;
    };
    const norm = (await trainer.gradients(batch(0))).metrics["gradientNorm"]?.[0] ?? 0;
    const slope = ((await lossAt(1e-2)) - (await lossAt(-1e-2))) / 2e-2;
    const scale = Math.min(1, 1 / Math.max(norm, 1e-9)); // the clip norm of the preset is 1
    expect((gradients[name]?.[1] ?? NaN) / scale).toBeCloseTo(slope, 2);
    await trainer.dispose();
  });
});
