/** Graphs as ONNX models: names, shared initializers, and exported functions at sizes that were open while they were traced. */
import { describe, expect, it } from "vitest";

import { createTfjsEngine } from "../../../../shared/engine/tfjs-engine.ts";
import type { PureFunction, Signature } from "../../../../shared/engine/engine.ts";
import { exportFunction } from "../../../../shared/engine/export.ts";
import { GraphBuilder } from "../../../../shared/engine/graph/graph.ts";
import { binary, unary } from "../../../../shared/engine/graph/operators/elementwise.ts";
import { reshape } from "../../../../shared/engine/graph/operators/shape.ts";
import { assignSymbols } from "../../../../shared/engine/graph/symbols.ts";
import { toOnnx } from "../../../../shared/engine/graph/to-onnx.ts";
import { tf } from "../../../../shared/engine/tf.ts";
import { checkModel } from "../../../../shared/onnx/check.ts";
import { createSession } from "../../../../shared/onnx/session.ts";
import { Rng } from "../../../../shared/rng.ts";
import { expectClose } from "../../../parity/compare.ts";

describe("toOnnx", () => {
  it("gives inputs, constants and one value under two names an output each", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const y = unary(g, "Exp", x);
    const model = toOnnx(g.build({ same: x, y, again: y, half: g.uniform(0.5, [2]) }), { name: "m" });
    expect(() => checkModel(model)).not.toThrow();
    expect(model.outputs.map(({ name }) => name)).toEqual(["same", "y", "again", "half"]);
    expect(model.nodes.map(({ op }) => op).sort()).toEqual(["Exp", "Identity", "Identity", "Identity"]);
  });

  it("writes equal constants once for each shape, large ones too, and large uniform ones as one number", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [100, 100]);
    const table = Float32Array.from({ length: 100 }, (_, i) => i);
    let y = binary(g, "Mul", binary(g, "Add", x, g.uniform(2)), g.uniform(2));
    for (let i = 0; i < 2; i++) y = binary(g, "Add", y, g.dense(table, [100], "float32"));
    y = binary(g, "Sub", y, g.uniform(3, [100, 100]));
    y = binary(g, "Add", y, g.dense(table, [100, 1], "float32"));
    const { initializers, nodes } = toOnnx(g.build({ y }), { name: "m" });
    expect(initializers.map(({ data }) => data.length).sort((a, b) => a - b)).toEqual([4, 4, 16, 400, 400]);
    expect(initializers.filter(({ data }) => data.length === 400).map(({ shape }) => shape)).toEqual([[100], [100, 1]]);
    expect(nodes.filter(({ op }) => op === "Expand")).toHaveLength(1);
  });

  it("leaves the first open size of a Reshape to the runtime and looks the others up", () => {
    const symbols = assignSymbols(["N", "T"]);
    const [count = 0, length = 0] = symbols.keys();
    const shapesFor = (target: readonly number[]): readonly string[] => {
      const g = new GraphBuilder(symbols);
      const y = reshape(g, g.input("x", "float32", [count, length, 6]), target);
      return toOnnx(g.build({ y }), { name: "m" }).nodes.map(({ op }) => op);
    };
    expect(shapesFor([count * length, 6])).toEqual(["Reshape"]);
    expect(shapesFor([count, length, 2, 3])).toEqual(["Shape", "Concat", "Reshape"]);
  });
});

/** Attention of new rows over past ones; positions are looked up behind the past. */
const attention: PureFunction = (inputs) => {
  const [past, fresh] = [inputs["past"] as tf.Tensor, inputs["fresh"] as tf.Tensor];
  const [pastLength = 0, count = 0] = past.shape;
  const [length = 0] = fresh.shape;
  const rows = tf.slice(inputs["table"] as tf.Tensor, [pastLength, 0], [length, 4]); // [T, 4]
  const placed = tf.add(fresh, tf.expandDims(rows, 1)); // [T, N, 4]
  const all = tf.concat([past, placed], 0); // [P + T, N, 4]
  const scores = tf.matMul(tf.transpose(placed, [1, 0, 2]), tf.transpose(all, [1, 2, 0])); // [N, T, P + T]
  return {
    mixed: tf.matMul(tf.softmax(scores), tf.transpose(all, [1, 0, 2])), // [N, T, 4]
    flat: tf.reshape(placed, [length * count, 4]), // [T·N, 4]
    halves: tf.reshape(placed, [length, count, 2, 2]), // [T, N, 2, 2]
    grown: tf.mul(tf.fill([length, count, 8], 3), tf.tile(placed, [1, 1, 2])), // [T, N, 8]
    tail: tf.slice(all, [pastLength - 1, 0, 0], [length + 1, count, 4]), // [T + 1, N, 4]
    mean: tf.mean(all, [0, 1]), // [4]
  };
};
const float = (...shape: (number | string)[]) => ({ shape, dtype: "float32" }) as const;
const exported = (fn: PureFunction, inputs: Parameters<typeof exportFunction>[1]["inputs"]): Uint8Array =>
  exportFunction(fn, { name: "open", doc: "", inputs, weights: { spec: WEIGHTS, values: { table: TABLE } } });

const WEIGHTS: Signature = { table: { shape: [20, 4], dtype: "float32" } };
const TABLE = Float32Array.from({ length: 20 * 4 }, (_, i) => Math.sin(i));

describe("open sizes", () => {
  it("run at any of them, and give what the oracle gives there", async () => {
    const bytes = exported(attention, { past: float("P", "N", 4), fresh: float("T", "N", 4) });
    const session = await createSession(bytes);
    expect(session.inputs.map(({ shape }) => shape)).toEqual([["P", "N", 4], ["T", "N", 4]]); // prettier-ignore
    const oracle = await createTfjsEngine("oracle");
    for (const [P, N, T] of [[1, 1, 1], [5, 2, 3], [16, 3, 4], [2, 4, 2]] as const) {
      const draw = (length: number): Float32Array => Rng.fromSeed(length).fill(length, (rng) => rng.normal());
      const arrays = { past: draw(P * N * 4), fresh: draw(T * N * 4) };
      const shapes = { past: [P, N, 4], fresh: [T, N, 4] };
      const got = await session.run({
        past: { type: "float32", shape: shapes.past, data: arrays.past },
        fresh: { type: "float32", shape: shapes.fresh, data: arrays.fresh },
      });
      const signature = {
        past: { shape: shapes.past, dtype: "float32" },
        fresh: { shape: shapes.fresh, dtype: "float32" },
        ...WEIGHTS,
      } as const;
      const reference = await (await oracle.compile(attention, signature)).run({ ...arrays, table: TABLE });
      const values = Object.fromEntries(Object.entries(got).map(([name, { data }]) => [name, data as Float32Array]));
      expectClose(values, reference);
      expect([got["halves"]?.shape, got["grown"]?.shape]).toEqual([[T, N, 2, 2], [T, N, 8]]);
    }
    await session.dispose();
  }); // prettier-ignore

  it("leave sizes alone that are no open ones, 100,000 for one", async () => {
    const wide: PureFunction = ({ x }) => ({ y: tf.mul(tf.fill([1, 100_000], 2), tf.expandDims(x as tf.Tensor, 1)) });
    const session = await createSession(exported(wide, { x: float("N") }));
    const { y } = await session.run({ x: { type: "float32", shape: [2], data: Float32Array.of(1, 2) } });
    expect(y?.shape).toEqual([2, 100_000]);
    await session.dispose();
  });

  it.each<[string, PureFunction]>([
    ["a divisor", ({ x }) => ({ y: tf.div(tf.sum(x as tf.Tensor), x?.shape[0] ?? 0) })],
    ["the length of a range", ({ x }) => ({ y: tf.add(x as tf.Tensor, tf.range(0, x?.shape[0] ?? 0)) })],
    ["a sum of ones", ({ x }) => ({ y: tf.mul(x as tf.Tensor, tf.sum(tf.onesLike(x as tf.Tensor))) })],
    ["a depth", ({ x }) => ({ y: tf.oneHot(tf.cast(x as tf.Tensor1D, "int32"), x?.shape[0] ?? 0) })],
  ])("are refused as %s, which would be the made-up number at run time", (_name, fn) => {
    expect(() => exported(fn, { x: float("N") })).toThrow(/An open size \(N\) was used as a number/);
  });
});
