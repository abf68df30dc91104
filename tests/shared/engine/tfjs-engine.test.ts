/** The eager engine: the oracle against the contract and without leaks, the native backends refused where they are missing. */
import { describe, expect, it } from "vitest";

import type { Arrays, Signature, TrainingStep } from "../../../shared/engine/engine.ts";
import { createTfjsEngine } from "../../../shared/engine/tfjs-engine.ts";
import { tf } from "../../../shared/engine/tf.ts";
import type { InitialState } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";
import { createTokenizerStep, initialTokenizerState, tokenizerBatch } from "../../../stage1-tokenizer/training-step.ts";
import { createPriorStep, initialPriorState, priorBatch } from "../../../stage2-prior/training-step.ts";
import { describeEngine } from "../../contracts/engine.ts";
import { tinyConfig } from "../../stage1-tokenizer/tiny-config.ts";
import { tinyPrior, tinyTokens } from "../../stage2-prior/tiny-config.ts";

describeEngine("tfjs oracle", () => createTfjsEngine("oracle"));

it.each(["gpu", "node"] as const)(
  "refuses %s with what is missing and what to do, where libtensorflow is not built",
  async (backend) => {
    // On a machine where `npm run setup:gpu` was run, the engine exists and there is nothing to refuse.
    const outcome = await createTfjsEngine(backend).then(
      ({ description }) => description,
      (error: unknown) => error,
    );
    if (typeof outcome === "string") expect(outcome).toContain("tfjs");
    else {
      const message: unknown = expect.stringMatching(/^engine tfjs: .*(tfjs-node|no GPU).*--engine onnx/);
      expect(outcome).toMatchObject({ code: "failure", exitCode: 1, message });
    }
  },
);

interface Case {
  readonly step: TrainingStep;
  readonly state: InitialState;
  readonly spec: Signature;
  readonly batch: Arrays;
}

function tokenizer(bottleneck: "vq" | "vq-ema"): Case {
  const config = tinyConfig({ bottleneck });
  const { spec, draw } = tokenizerBatch(config);
  const images = Uint8Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => (i * 7) & 255);
  return {
    step: createTokenizerStep(config, { variance: 0.08 }),
    state: initialTokenizerState(config, Rng.fromSeed(1)),
    spec,
    batch: { images, ...draw(Rng.fromSeed(2)) },
  };
}

function prior(objective: "causal" | "masked"): Case {
  const config = tinyPrior({ objective, dropout: 0.25 });
  const form = priorBatch(config);
  return {
    step: createPriorStep(config),
    state: initialPriorState(config, Rng.fromSeed(1)),
    spec: form.spec,
    batch: form.prepare(tinyTokens(config), Rng.fromSeed(2)),
  };
}

const held = (): readonly number[] => [tf.memory().numTensors, tf.memory().numDataBuffers];

describe("the oracle leaks no tensor", () => {
  it("over runs of a compiled function", async () => {
    const engine = await createTfjsEngine("oracle");
    const fn = await engine.compile(({ x }) => ({ y: tf.square(x as tf.Tensor), x: x as tf.Tensor }), {
      x: { shape: [3], dtype: "float32" },
    });
    const before = held();
    for (let i = 0; i < 3; i++) await fn.run({ x: Float32Array.of(1, 2, 3) });
    await expect(fn.run({ x: new Float32Array(2) })).rejects.toThrow();
    expect(held()).toEqual(before);
  });

  it.each<[string, () => Case]>([
    ["a VQ-VAE", () => tokenizer("vq")],
    ["a VQ-VAE with EMA codebook", () => tokenizer("vq-ema")],
    ["a causal Transformer", () => prior("causal")],
    ["a masked Transformer", () => prior("masked")],
  ])("over steps, halves and loads of %s, and nothing is left when it is disposed", async (_name, create) => {
    const engine = await createTfjsEngine("oracle");
    const empty = held();
    const { step, state, spec, batch } = create();
    const trainer = await engine.createTrainer(step, state, spec);
    const full = held();
    for (let i = 0; i < 2; i++) {
      await trainer.step(batch);
      const { gradients, statistics } = await trainer.gradients(batch);
      await trainer.update(gradients, statistics);
      await trainer.load(await trainer.state());
      expect(held()).toEqual(full);
    }
    await trainer.dispose();
    expect(held()).toEqual(empty);
  });

  it("where a step hands its state on, as it is or as a copy", async () => {
    const engine = await createTfjsEngine("oracle");
    const spec = { a: { shape: [2], dtype: "float32" }, b: { shape: [2], dtype: "float32" } } as const;
    const trainer = await engine.createTrainer(
      {
        gradients: ({ a }, { x }) => ({ gradients: {}, statistics: {}, metrics: { loss: x as tf.Tensor, a: a as tf.Tensor } }),
        update: ({ a, b }) => ({ a: a as tf.Tensor, b: tf.clone(b as tf.Tensor) }),
      },
      { spec, values: { a: Float32Array.of(1, 2), b: Float32Array.of(3, 4) } },
      { x: { shape: [], dtype: "float32" } },
    ); // prettier-ignore
    const before = held();
    for (let i = 0; i < 3; i++) await trainer.step({ x: Float32Array.of(0) });
    expect(held()).toEqual(before);
    await trainer.dispose();
  });
});
