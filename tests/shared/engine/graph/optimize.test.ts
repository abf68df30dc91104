/** Whatever the passes do, the runtime computes the same: random graphs as recorded and optimised, and folding against the runtime. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { GraphBuilder, type Graph, type Value } from "../../../../shared/engine/graph/graph.ts";
import {
  BINARY,
  binary,
  cast,
  COMPARISON,
  compare,
  extremum,
  not,
  UNARY,
  unary,
} from "../../../../shared/engine/graph/operators/elementwise.ts";
import { optimize } from "../../../../shared/engine/graph/optimize.ts";
import { foldConstants } from "../../../../shared/engine/graph/passes/fold-constants.ts";
import { foldUniforms } from "../../../../shared/engine/graph/passes/fold-uniforms.ts";
import { toOnnx } from "../../../../shared/engine/graph/to-onnx.ts";
import { checkModel } from "../../../../shared/onnx/check.ts";
import { createSession, type TensorValue } from "../../../../shared/onnx/session.ts";
import { encodeModel } from "../../../../shared/onnx/write.ts";
import { Rng } from "../../../../shared/rng.ts";
import { sizeOf } from "../../../../shared/records.ts";
import { randomGraph } from "./random-graph.ts";

async function run(graph: Graph, feeds: Readonly<Record<string, TensorValue>>): Promise<Record<string, TensorValue>> {
  const session = await createSession(encodeModel(toOnnx(graph, { name: "m" })), { threads: 1 });
  const outputs = await session.run(feeds);
  await session.dispose();
  return outputs;
}

const numbers = (value: TensorValue | undefined): number[] => [...(value?.data ?? [])].map((x) => Number(x) + 0); // −0 → 0

describe("optimize", () => {
  it("changes no bit of what a random graph computes, nor its shapes", async () => {
    const rng = Rng.fromSeed(1);
    const feeds = Object.fromEntries(
      Object.entries({ x: [2, 4, 4, 3], b: [3] }).map(([name, shape]) => {
        const data = rng.fork(name).fill(sizeOf(shape), (draw) => draw.integer(7) - 3);
        return [name, { type: "float32", shape, data }] as const;
      }),
    );
    const instruction = fc.tuple(fc.nat(1000), fc.nat(3), fc.nat(3), fc.nat(127));
    await fc.assert(
      fc.asyncProperty(fc.array(instruction, { minLength: 3, maxLength: 14 }), async (instructions) => {
        const graph = randomGraph(instructions);
        const optimized = optimize(graph);
        checkModel(toOnnx(optimized, { name: "m" }));
        const [plain, fast] = [await run(graph, feeds), await run(optimized, feeds)];
        for (const name of Object.keys(graph.outputs)) {
          expect(fast[name]?.shape, name).toEqual(plain[name]?.shape);
          expect(numbers(fast[name]), name).toEqual(numbers(plain[name]));
        }
      }),
      { numRuns: 80, seed: 3 },
    );
  });

  it("has nothing left to do on its own result", () => {
    const instruction = fc.tuple(fc.nat(1000), fc.nat(3), fc.nat(3), fc.nat(127));
    fc.assert(
      fc.property(fc.array(instruction, { maxLength: 14 }), (instructions) => {
        const once = optimize(randomGraph(instructions));
        expect(optimize(once).nodes.length).toBeLessThanOrEqual(once.nodes.length);
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});

/** Every elementwise operator on `make`'s constants of one type. */
function everyOperator(make: (g: GraphBuilder, shape: readonly number[], first: boolean) => Value): Graph {
  const g = new GraphBuilder();
  const [a, b] = [make(g, [2, 3], true), make(g, [3], false)];
  const outputs: Record<string, Value> = { Max: extremum(g, "Max", a, b), Min: extremum(g, "Min", a, b) };
  const float = a.type === "float32";
  for (const op of UNARY) if (float || op === "Abs" || op === "Neg") outputs[op] = unary(g, op, a);
  for (const op of BINARY) if (float || op !== "Mod") outputs[op] = binary(g, op, a, b);
  for (const op of COMPARISON) if (op !== "And" && op !== "Or") outputs[op] = compare(g, op, a, b);
  outputs["Not"] = not(g, compare(g, "Less", a, b));
  for (const type of ["float32", "int32", "int64", "bool"] as const) outputs[`to ${type}`] = cast(g, a, type);
  return g.build(outputs);
}

const FLOATS = [-2.5, -1, 0, 0.5, 1.5, 3] as const;
const CASES: Readonly<Record<string, (g: GraphBuilder, shape: readonly number[], first: boolean) => Value>> = {
  "dense float32": (g, shape, first) =>
    g.dense(first ? Float32Array.from(FLOATS) : Float32Array.of(2, -1, 0.5), shape, "float32"),
  "dense int32": (g, shape, first) =>
    g.dense(first ? Int32Array.of(-7, -1, 0, 3, 5, 12) : Int32Array.of(2, 3, 5), shape, "int32"),
  ...Object.fromEntries(
    FLOATS.map((value) => [
      `uniform ${value}`,
      (g: GraphBuilder, shape: readonly number[], first: boolean) => g.uniform(first ? value : -1.5, shape),
    ]),
  ),
  "uniform int32": (g, shape, first) => g.uniform(first ? -7 : 2, shape, "int32"),
};

describe.each(Object.entries(CASES))("folding of %s constants", (_name, make) => {
  it("gives what the runtime computes, operator by operator", async () => {
    const graph = everyOperator(make);
    const folded = foldConstants(foldUniforms(graph));
    const constant = Object.entries(folded.outputs).filter(([, value]) => value.constant !== undefined);
    expect(constant.length).toBeGreaterThan(15);
    const [reference, got] = [await run(graph, {}), await run(folded, {})];
    for (const [name, { type }] of constant) {
      const [expected, values] = [numbers(reference[name]), numbers(got[name])];
      expect(got[name], name).toMatchObject({ type, shape: [2, 3] });
      for (const [i, value] of expected.entries()) {
        if (Number.isFinite(value)) expect(values[i], name).toBeCloseTo(value, 5);
        else expect(values[i], name).toBe(value);
      }
    }
  });
});
