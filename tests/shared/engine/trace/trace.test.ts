/** What tracing refuses, what it leaves behind, and how much it writes down. */
import { beforeAll, describe, expect, it } from "vitest";

import type { PureFunction } from "../../../../shared/engine/engine.ts";
import { toOnnx } from "../../../../shared/engine/graph/to-onnx.ts";
import { tf } from "../../../../shared/engine/tf.ts";
import { trace } from "../../../../shared/engine/trace/trace.ts";
import { encodeModel } from "../../../../shared/onnx/write.ts";
import { group, prefix } from "../../../../shared/records.ts";
import { Rng } from "../../../../shared/rng.ts";
import { priorConfig } from "../../../../stage2-prior/config.ts";
import { createPriorStep, initialPriorState, priorBatch } from "../../../../stage2-prior/training-step.ts";

const inputs = { x: { shape: [2, 3], dtype: "float32" } } as const;
/** A function of the one input. */
const tracing =
  (fn: (x: tf.Tensor) => tf.Tensor): (() => void) =>
  () =>
    void trace(({ x }) => ({ y: fn(x as tf.Tensor) }), { inputs });

beforeAll(() => tf.setBackend("cpu"));

describe("trace", () => {
  it.each([
    ["Acos", tracing((x) => tf.acos(x))],
    ["Elu", tracing((x) => tf.grad((at: tf.Tensor) => tf.sum(tf.elu(at)))(x))],
  ])("names an op without a kernel (%s) and where it was called", (op, run) => {
    expect(run).toThrow(new RegExp(`The op ${op} has no recording kernel \\(called at .*trace\\.test\\.ts:\\d+`));
  });

  it.each([
    ["dataSync", tracing((x) => tf.tensor(x.dataSync()))],
    ["arraySync", tracing((x) => tf.tensor(x.arraySync()))],
    ["print", tracing((x) => (x.print(), x))],
  ])("refuses a function that reads values: %s", (_how, run) => {
    expect(run).toThrow(/reads a tensor's values .* must not/);
  });

  it("refuses a tensor from outside", () => {
    const outside = tf.tensor([1, 2, 3]);
    expect(tracing((x) => tf.add(x, outside))).toThrow(/another backend/);
    outside.dispose();
  });

  it("lets a function's own error through as it is", () => {
    const error = new RangeError("mine");
    expect(
      tracing(() => {
        throw error;
      }),
    ).toThrow(error);
  });

  it.each<[string, PureFunction, RegExp | undefined]>([
    ["a trace", ({ x }) => ({ y: tf.neg(x as tf.Tensor) }), undefined],
    ["a throw", () => ({ y: tf.tensor([Number("1")]).dataSync() as unknown as tf.Tensor }), /must not/],
    ["a nested trace, which is refused,", (given) => (trace((again) => again, { inputs }), given), /already running/],
  ])("puts the active backend back after %s and computes as before", (_name, fn, message) => {
    const before = tf.memory().numTensors;
    const run = (): unknown => trace(fn, { inputs });
    if (message === undefined) expect(run).not.toThrow();
    else expect(run).toThrow(message);
    expect(tf.getBackend()).toBe("cpu");
    expect(tf.memory().numTensors).toBe(before);
    expect(tf.tidy(() => [...tf.add(tf.tensor([1]), 1).dataSync()])).toEqual([2]);
    expect(tracing((x) => tf.exp(x))).not.toThrow();
  });

  it("writes an array that is handed in twice once", () => {
    const mask = Float32Array.from({ length: 200 }, (_, i) => i);
    const twice = trace(
      ({ x }) => {
        const y = tf.add(x as tf.Tensor, tf.tensor(mask, [200]));
        return { y: tf.mul(y, tf.tensor(mask, [200])) };
      },
      { inputs: { x: { shape: [3, 200], dtype: "float32" } } },
    );
    const constants = new Set(twice.nodes.flatMap((node) => node.inputs.filter((input) => input?.constant)));
    expect(constants.size).toBe(1);
  });
});

describe("a traced Transformer step of 5 M parameters", () => {
  it("is small: no ones, no zeros, no mask per layer is written out", () => {
    const config = priorConfig("base", { objective: "causal", codebookSize: 512, grid: [32, 32], classes: 0 });
    const state = initialPriorState(config, Rng.fromSeed(0));
    const parameters = Object.entries(state.values)
      .filter(([name]) => name.startsWith("weight/"))
      .reduce((sum, [, values]) => sum + values.length, 0);
    expect(parameters).toBeGreaterThan(4e6);
    const step = createPriorStep(config);
    const graph = trace(
      (all) => {
        const { gradients, statistics } = step.gradients(group(all, "state"), group(all, "batch"));
        return prefix(step.update(group(all, "state"), gradients, statistics), "next");
      },
      { inputs: { ...prefix(state.spec, "state"), ...prefix(priorBatch(config).spec, "batch") } },
    );
    expect(encodeModel(toOnnx(graph, { name: "step" })).length).toBeLessThan(4e6);
  });
});
