/** Sums that products take in, and those that they must not. */
import { describe, expect, it } from "vitest";

import { GraphBuilder, type Graph, type Value } from "../../../../../shared/engine/graph/graph.ts";
import { binary, unary } from "../../../../../shared/engine/graph/operators/elementwise.ts";
import { matMul } from "../../../../../shared/engine/graph/operators/linear.ts";
import { eliminateDead } from "../../../../../shared/engine/graph/passes/eliminate.ts";
import { fuseSum } from "../../../../../shared/engine/graph/passes/fuse-sum.ts";
import { assignSymbols } from "../../../../../shared/engine/graph/symbols.ts";
import { toOnnx } from "../../../../../shared/engine/graph/to-onnx.ts";
import { createSession } from "../../../../../shared/onnx/session.ts";
import { encodeModel } from "../../../../../shared/onnx/write.ts";

const ROWS = 3;
const symbols = assignSymbols(["N"]);
const [open = 0] = symbols.keys();

/** x [N, 4] and whole numbers, so that every sum is exact. */
function graphOf(build: (g: GraphBuilder, x: Value, w: Value) => Record<string, Value>): Graph {
  const g = new GraphBuilder(symbols);
  const w = g.dense(
    Float32Array.from({ length: 16 }, (_, i) => ((i * 5) % 7) - 3),
    [4, 4],
    "float32",
  );
  return g.build(build(g, g.input("x", "float32", [open, 4]), w));
}

async function run(graph: Graph): Promise<Record<string, readonly number[]>> {
  const session = await createSession(encodeModel(toOnnx(graph, { name: "m" })), { threads: 1 });
  const data = Float32Array.from({ length: ROWS * 4 }, (_, i) => i - 5);
  const outputs = await session.run({ x: { type: "float32", shape: [ROWS, 4], data } });
  await session.dispose();
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, [...value.data].map(Number)]));
}

const ops = (graph: Graph): string[] => graph.nodes.map(({ op }) => op);

describe("fuseSum", () => {
  it.each(["left", "right"])(
    "takes a residual sum into its product, which stands %s: same numbers, a node less",
    async (side) => {
      const graph = graphOf((g, x, w) => {
        const [product, kept] = [matMul(g, x, w), unary(g, "Abs", x)];
        return { y: side === "left" ? binary(g, "Add", product, kept) : binary(g, "Add", kept, product) };
      });
      const fused = eliminateDead(fuseSum(graph));
      expect(ops(fused)).toEqual(["Abs", "Gemm"]);
      expect(fused.outputs["y"]?.shape).toEqual([open, 4]);
      expect(await run(fused)).toEqual(await run(graph));
    },
  );

  it("takes one of two products into the other, and one sum after the other into different products", async () => {
    const graph = graphOf((g, x, w) => {
      const twice = binary(g, "Add", matMul(g, x, w), matMul(g, unary(g, "Neg", x), w));
      return { y: binary(g, "Add", twice, matMul(g, twice, w)) };
    });
    const fused = eliminateDead(fuseSum(graph));
    expect(ops(fused).sort()).toEqual(["Gemm", "Gemm", "MatMul", "Neg"]);
    expect(await run(fused)).toEqual(await run(graph));
  });

  it.each<[string, (g: GraphBuilder, x: Value, w: Value) => Record<string, Value>]>([
    [
      "a product that something else reads",
      (g, x, w) => {
        const product = matMul(g, x, w);
        return { y: binary(g, "Add", product, x), z: unary(g, "Neg", product) };
      },
    ],
    [
      "a product added to itself",
      (g, x, w) => {
        const product = matMul(g, x, w);
        return { y: binary(g, "Add", product, product) };
      },
    ],
    [
      "a bias",
      (g, x, w) => ({ y: binary(g, "Add", matMul(g, x, w), g.dense(Float32Array.of(1, 2, 3, 4), [4], "float32")) }),
    ],
    [
      "a product that gains an axis",
      (g, x, w) => ({ y: binary(g, "Add", matMul(g, x, w), g.dense(new Float32Array(2), [2, 1, 1], "float32")) }),
    ],
    [
      "a product that a sum repeats",
      (g, x, w) => ({
        y: binary(g, "Add", matMul(g, g.dense(new Float32Array(4), [1, 4], "float32"), w), x),
      }),
    ],
    [
      "a stack of products",
      (g, x, w) => {
        const stack = g.dense(new Float32Array(32), [2, 4, 4], "float32");
        return { y: binary(g, "Add", matMul(g, stack, w), stack) };
      },
    ],
    ["a difference", (g, x, w) => ({ y: binary(g, "Sub", matMul(g, x, w), x) })],
  ])("leaves %s alone", (_what, build) => {
    const graph = graphOf(build);
    expect(fuseSum(graph).nodes).toEqual(graph.nodes);
  });
});
