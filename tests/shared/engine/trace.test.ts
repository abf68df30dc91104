/** What tracing refuses, what it leaves behind, and exported functions at sizes that were open. */
import { describe, expect, it } from "vitest";

import { exportFunction } from "../../../shared/engine/export.ts";
import { expressSize, assignSymbols, nameSize } from "../../../shared/engine/graph/symbols.ts";
import { toOnnx } from "../../../shared/engine/graph/to-onnx.ts";
import { tf } from "../../../shared/engine/tf.ts";
import { trace } from "../../../shared/engine/trace/trace.ts";
import { createTfjsEngine } from "../../../shared/engine/tfjs-engine.ts";
import { createSession } from "../../../shared/onnx/session.ts";
import { encodeModel } from "../../../shared/onnx/write.ts";
import { Rng } from "../../../shared/rng.ts";
import { priorConfig } from "../../../stage2-prior/config.ts";
import { createPriorStep, initialPriorState, priorBatch } from "../../../stage2-prior/training-step.ts";
import { prefix, group } from "../../../shared/records.ts";
import { relativeError } from "../../parity/compare.ts";

const x = { x: { shape: [2, 3], dtype: "float32" } } as const;

describe("trace", () => {
  it("names an op that has no kernel", () => {
    expect(() => trace((inputs) => ({ y: tf.acos(inputs["x"] as tf.Tensor) }), { inputs: x })).toThrow(
      /Acos has no recording kernel/,
    );
  });

  it("refuses a function that reads values", () => {
    expect(() => trace((inputs) => ({ y: tf.tensor((inputs["x"] as tf.Tensor).arraySync()) }), { inputs: x })).toThrow(
      /must not/,
    );
  });

  it("puts the active backend back, also after a failure, and refuses to nest", async () => {
    await tf.setBackend("cpu");
    trace((inputs) => ({ y: tf.neg(inputs["x"] as tf.Tensor) }), { inputs: x });
    expect(tf.getBackend()).toBe("cpu");
    const nested = (): void => void trace((inputs) => (trace((again) => again, { inputs: x }), inputs), { inputs: x });
    expect(nested).toThrow(/already running/);
    expect(tf.getBackend()).toBe("cpu");
    expect([...tf.add(tf.tensor([1]), 1).dataSync()]).toEqual([2]);
  });

  it("writes an array that is handed in twice once", () => {
    const mask = Float32Array.from({ length: 200 }, (_, i) => i);
    const twice = trace(
      (inputs) => {
        const y = tf.add(inputs["x"] as tf.Tensor, tf.tensor(mask, [200]));
        return { y: tf.mul(y, tf.tensor(mask, [200])) };
      },
      { inputs: { x: { shape: [3, 200], dtype: "float32" } } },
    );
    const constants = new Set(
      twice.nodes.flatMap(({ inputs }) => inputs.filter((input) => input?.constant !== undefined)),
    );
    expect(constants.size).toBe(1);
  });

  it("keeps a 5 M-parameter step small: no ones, no zeros, no masks per layer", () => {
    const config = priorConfig("base", {
      objective: "causal",
      codebookSize: 512,
      grid: [32, 32],
      classes: 0,
      dropout: 0,
      weightEmaDecay: 0,
    });
    const step = createPriorStep(config);
    const graph = trace(
      (inputs) => {
        const state = group(inputs, "state");
        const { gradients, statistics } = step.gradients(state, group(inputs, "batch"));
        return prefix(step.update(state, gradients, statistics), "next");
      },
      {
        inputs: {
          ...prefix(initialPriorState(config, Rng.fromSeed(0)).spec, "state"),
          ...prefix(priorBatch(config).spec, "batch"),
        },
      },
    );
    expect(encodeModel(toOnnx(graph, { name: "step" })).length).toBeLessThan(4e6);
  });
});

describe("open sizes", () => {
  const symbols = assignSymbols(["N", "P", "N", "T"]);
  const [n = 0, p = 0, t = 0] = [...symbols.keys()];

  it("are told apart by their divisors", () => {
    expect([...symbols.values()]).toEqual(["N", "P", "T"]);
    const name = (size: number): string | undefined => {
      const expression = expressSize(size, symbols);
      return expression && nameSize(expression, symbols);
    };
    expect([n, p + t, n * 8, n * t * 32, p + 1].map(name)).toEqual(["N", "P + T", "8*N", "32*N*T", "P + 1"]);
    expect([0, 1, 3, 512, 1024, 16384, 524288, 102400].map(name)).toEqual(Array(8).fill(undefined));
  });

  it("an exported function runs at any of them, and gives what the oracle gives", async () => {
    const table = Float32Array.from({ length: 20 * 4 }, (_, i) => Math.sin(i));
    const fn = (inputs: Readonly<Record<string, tf.Tensor>>): Record<string, tf.Tensor> => {
      const [past, fresh] = [inputs["past"] as tf.Tensor, inputs["fresh"] as tf.Tensor];
      const [pastLength = 0, count = 0] = past.shape;
      const [length = 0] = fresh.shape;
      const rows = tf.slice(inputs["table"] as tf.Tensor, [pastLength, 0], [length, 4]); // [T, 4]
      const placed = tf.add(fresh, tf.expandDims(rows, 1)); // [T, N, 4]
      const scores = tf.matMul(tf.transpose(placed, [1, 0, 2]), tf.transpose(past, [1, 2, 0])); // [N, T, P]
      const mixed = tf.matMul(tf.softmax(scores), tf.transpose(past, [1, 0, 2])); // [N, T, 4]
      return {
        mixed,
        flat: tf.reshape(placed, [length * count, 4]),
        halves: tf.reshape(placed, [length, count, 2, 2]),
      };
    };
    const weights = { spec: { table: { shape: [20, 4], dtype: "float32" } }, values: { table } } as const;
    const inputs = {
      past: { shape: ["P", "N", 4], dtype: "float32" },
      fresh: { shape: ["T", "N", 4], dtype: "float32" },
    } as const;
    const session = await createSession(exportFunction(fn, { name: "open", doc: "", inputs, weights }));
    expect(session.inputs.map(({ shape }) => shape)).toEqual([["P", "N", 4], ["T", "N", 4]]); // prettier-ignore
    const oracle = await createTfjsEngine("oracle");
    for (const [P, N, T] of [
      [1, 1, 1],
      [5, 2, 3],
      [16, 3, 4],
    ] as const) {
      // prettier-ignore
      const draw = (length: number): Float32Array => Rng.fromSeed(length).fill(length, (rng) => rng.normal());
      const arrays = { past: draw(P * N * 4), fresh: draw(T * N * 4) };
      const shapes = { past: [P, N, 4], fresh: [T, N, 4] };
      const got = await session.run({
        past: { type: "float32", shape: shapes.past, data: arrays.past },
        fresh: { type: "float32", shape: shapes.fresh, data: arrays.fresh },
      });
      const spec = {
        past: { shape: shapes.past, dtype: "float32" },
        fresh: { shape: shapes.fresh, dtype: "float32" },
      } as const;
      const reference = await (await oracle.compile(fn, { ...spec, ...weights.spec })).run({ ...arrays, table });
      for (const [name, values] of Object.entries(reference)) {
        expect(
          relativeError(got[name]?.data as Float32Array, values),
          `${name} at P=${P}, N=${N}, T=${T}`,
        ).toBeLessThan(1e-5);
      }
      expect(got["halves"]?.shape).toEqual([T, N, 2, 2]);
    }
    await session.dispose();
  });
});
