/** Each pass on graphs small enough to read, and all of them against the oracle on random expressions. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { GraphBuilder, int, ints, type Graph } from "../../../../shared/engine/graph/graph.ts";
import { binary, compare, unary } from "../../../../shared/engine/graph/operators/elementwise.ts";
import { conv } from "../../../../shared/engine/graph/operators/linear.ts";
import { reduce } from "../../../../shared/engine/graph/operators/reduce.ts";
import { concat, expand, pad, reshape, slice, transpose } from "../../../../shared/engine/graph/operators/shape.ts";
import { optimize } from "../../../../shared/engine/graph/optimize.ts";
import { eliminateCommon, eliminateDead } from "../../../../shared/engine/graph/passes/eliminate.ts";
import { foldConstants } from "../../../../shared/engine/graph/passes/fold-constants.ts";
import { foldUniforms } from "../../../../shared/engine/graph/passes/fold-uniforms.ts";
import { fuseBias, reuseRelu } from "../../../../shared/engine/graph/passes/fuse-conv.ts";
import { sinkTransposes } from "../../../../shared/engine/graph/passes/sink-transposes.ts";
import { tf } from "../../../../shared/engine/tf.ts";
import { expectParity } from "../../../parity/compare.ts";

const ops = (graph: Graph): string[] => graph.nodes.map(({ op }) => op);
const NHWC = [0, 2, 3, 1];
const NCHW = [0, 3, 1, 2];

describe("foldUniforms", () => {
  it("takes neutral elements away", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2, 3]);
    const ones = g.uniform(1, [2, 3]);
    const zeros = g.uniform(0, [2, 3]);
    const y = binary(g, "Div", binary(g, "Sub", binary(g, "Add", binary(g, "Mul", x, ones), zeros), zeros), ones);
    const folded = foldUniforms(g.build({ y, none: binary(g, "Mul", x, zeros) }));
    expect(folded.outputs["y"]).toBe(x);
    expect(folded.outputs["none"]?.constant).toEqual({ kind: "uniform", value: 0 });
  });

  it("makes the gradient of a mean a scalar: dy · ones / n, multiplied in, reads its tensor once", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [4, 5]);
    const dy = g.input("dy", "float32", []);
    const spread = binary(g, "Mul", reshape(g, dy, [1, 1]), g.uniform(1 / 20, [4, 5]));
    const gradient = eliminateDead(foldUniforms(g.build({ y: binary(g, "Mul", x, spread) })));
    expect(ops(gradient)).not.toContain("Expand");
    for (const { inputs } of gradient.nodes)
      for (const input of inputs) if (input?.constant) expect(input.shape).not.toEqual([4, 5]);
  });

  it("computes on uniforms, and sums them by their count", () => {
    const g = new GraphBuilder();
    const twos = unary(g, "Sqrt", g.uniform(4, [3, 3]));
    const sum = reduce(g, "ReduceSum", transpose(g, twos, [1, 0]), [0]);
    expect(foldUniforms(g.build({ sum })).outputs["sum"]).toMatchObject({
      shape: [3],
      constant: { kind: "uniform", value: 6 },
    });
  });

  it("keeps a broadcast that changes the shape", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [3]);
    const y = binary(g, "Mul", x, g.uniform(1, [2, 3]));
    const folded = foldUniforms(g.build({ y }));
    expect(ops(folded)).toEqual(["Expand"]);
    expect(folded.outputs["y"]?.shape).toEqual([2, 3]);
  });
});

describe("foldConstants", () => {
  it("computes with broadcasting and permutes", () => {
    const g = new GraphBuilder();
    const a = g.dense(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3], "float32");
    const b = g.dense(Float32Array.of(10, 20, 30), [3], "float32");
    const y = transpose(g, binary(g, "Add", a, b), [1, 0]);
    const { constant } = foldConstants(g.build({ y })).outputs["y"] ?? {};
    expect(constant).toEqual({ kind: "dense", data: Float32Array.of(11, 14, 22, 25, 33, 36) });
  });
});

describe("elimination", () => {
  it("merges equal nodes, keeps unequal ones and drops what nothing needs", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [4]);
    const [a, b] = [unary(g, "Exp", x), unary(g, "Exp", x)];
    unary(g, "Log", x);
    const y = binary(g, "Mul", binary(g, "Add", a, b), binary(g, "Sub", a, b));
    const z = slice(g, x, [0], [2]);
    const other = slice(g, x, [1], [3]);
    const wide = g.input("wide", "float32", [2, 2]);
    const sums = { rows: reduce(g, "ReduceMax", wide, [0]), columns: reduce(g, "ReduceMax", wide, [1]) };
    const graph = eliminateDead(eliminateCommon(g.build({ y, z, other, ...sums })));
    expect(graph.outputs["rows"]).not.toBe(graph.outputs["columns"]);
    expect(ops(graph).filter((op) => op === "Exp")).toHaveLength(1);
    expect(ops(graph).filter((op) => op === "Slice")).toHaveLength(2);
    expect(ops(graph)).not.toContain("Log");
  });
});

describe("sinkTransposes", () => {
  it("leaves nothing between two convolutions, whatever elementwise work lies there", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [1, 8, 8, 3]);
    const geometry = { strides: [1, 1], pads: [1, 1, 1, 1] } as const;
    const kernels = [g.input("k0", "float32", [4, 3, 3, 3]), g.input("k1", "float32", [4, 4, 3, 3])] as const;
    const bias = g.input("bias", "float32", [4]);
    const first = transpose(g, conv(g, transpose(g, x, NCHW), kernels[0], geometry), NHWC);
    const activated = unary(g, "Relu", binary(g, "Add", first, bias));
    const second = transpose(g, conv(g, transpose(g, activated, NCHW), kernels[1], geometry), NHWC);
    const graph = optimize(g.build({ y: second }));
    expect(ops(graph)).toEqual(["Transpose", "Conv", "Relu", "Conv", "Transpose"]);
  });

  it("sees through reductions, slices, pads and concatenations", () => {
    const g = new GraphBuilder();
    const base = g.input("x", "float32", [2, 3, 4, 5]);
    const view = transpose(g, base, NHWC); // [2, 4, 5, 3]
    const outputs = {
      sum: reduce(g, "ReduceSum", view, [0, 1, 2]),
      kept: reduce(g, "ReduceMean", view, [3], true),
      part: slice(g, view, [0, 1, 0, 0], [2, 3, 5, 3]),
      padded: pad(g, view, [[0, 0], [1, 0], [0, 0], [0, 2]]), // prettier-ignore
      joined: concat(g, [view, view], 3),
    };
    const graph = sinkTransposes(g.build(outputs));
    for (const [name, value] of Object.entries(outputs)) expect(graph.outputs[name]?.shape, name).toEqual(value.shape);
    const [sum] = graph.nodes;
    expect(sum).toMatchObject({ op: "ReduceSum", inputs: [base, expect.anything()] });
    expect(ops(graph)[0]).not.toBe("Transpose");
  });

  it("composes two transposes and gives identities away", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2, 3, 4, 5]);
    const there = g.build({ y: transpose(g, transpose(g, x, NHWC), NCHW) });
    expect(sinkTransposes(there).outputs["y"]).toBe(x);
  });
});

describe("fusing", () => {
  it("moves a bias into its convolution unless something else reads the plain one", () => {
    for (const shared of [false, true]) {
      const g = new GraphBuilder();
      const y = conv(g, g.input("x", "float32", [1, 3, 4, 4]), g.input("k", "float32", [2, 3, 1, 1]), {
        strides: [1, 1],
        pads: [0, 0, 0, 0],
      });
      const biased = binary(g, "Add", y, g.input("b", "float32", [1, 2, 1, 1]));
      const graph = eliminateDead(fuseBias(g.build(shared ? { biased, y } : { biased })));
      expect(ops(graph).includes("Add")).toBe(shared);
    }
  });

  it("asks a ReLU's result instead of its input whether it was positive", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [3]);
    const relu = unary(g, "Relu", x);
    const open = compare(g, "Greater", x, g.uniform(0));
    const graph = reuseRelu(g.build({ relu, open }));
    expect(graph.nodes.at(-1)?.inputs[0]).toBe(graph.outputs["relu"]);
  });
});

/** Random functions of x and y, both [2, 3, 4]. */
const expression = fc.letrec<{ node: (x: tf.Tensor, y: tf.Tensor) => tf.Tensor }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5, depthIdentifier: "depth" },
    fc.constantFrom(
      (x: tf.Tensor) => x,
      (_x: tf.Tensor, y: tf.Tensor) => y,
      (x: tf.Tensor) => tf.onesLike(x),
      (x: tf.Tensor) => tf.fill(x.shape, 0.5),
    ),
    tie("node").map((f) => (x: tf.Tensor, y: tf.Tensor) => tf.tanh(f(x, y))),
    tie("node").map(
      (f) => (x: tf.Tensor, y: tf.Tensor) => tf.transpose(tf.relu(tf.transpose(f(x, y), [2, 0, 1])), [1, 2, 0]),
    ),
    tie("node").map((f) => (x: tf.Tensor, y: tf.Tensor) => tf.add(tf.mean(f(x, y), 1, true), y)),
    tie("node").map((f) => (x: tf.Tensor, y: tf.Tensor) => tf.slice(tf.concat([f(x, y), x], 1), [0, 2, 0], [2, 3, 4])),
    fc.tuple(tie("node"), tie("node")).map(
      ([f, h]) =>
        (x: tf.Tensor, y: tf.Tensor) =>
          tf.mul(f(x, y), h(x, y)),
    ),
    fc.tuple(tie("node"), tie("node")).map(
      ([f, h]) =>
        (x: tf.Tensor, y: tf.Tensor) =>
          tf.sub(f(x, y), h(x, y)),
    ),
  ),
})).node;

describe("optimize", () => {
  it("changes no value of random expressions, nor of their gradients", async () => {
    const spec = { x: { shape: [2, 3, 4], dtype: "float32" }, y: { shape: [2, 3, 4], dtype: "float32" } } as const;
    await fc.assert(
      fc.asyncProperty(expression, async (f) => {
        await expectParity((inputs) => {
          const { x, y } = inputs as { x: tf.Tensor; y: tf.Tensor };
          const gradient = tf.grad((at: tf.Tensor) => tf.add(tf.sum(tf.square(f(at, y))), tf.mul(tf.sum(at), 2)))(x);
          return { value: f(x, y), gradient };
        }, spec);
      }),
      { numRuns: 25, seed: 1 },
    );
  });
});

it("operators refuse what does not fit", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [2, 3]);
  expect(() => reshape(g, x, [4])).toThrow(/Cannot reshape \[2,3\] to \[4\]/);
  expect(() => binary(g, "Add", x, g.input("y", "float32", [2]))).toThrow(/do not broadcast/);
  expect(expand(g, x, [2, 3])).toBe(x);
  expect([int(1), ints([1])]).toEqual([{ kind: "int", value: 1 }, { kind: "ints", value: [1] }]); // prettier-ignore
});
