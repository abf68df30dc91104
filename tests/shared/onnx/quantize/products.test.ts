/** The rewrite against integers counted by hand, against float32 by what rounding may cost, and row by row whatever stands beside. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { checkModel } from "../../../../shared/onnx/check.ts";
import type { Attribute, Initializer, OnnxModel, OnnxNode } from "../../../../shared/onnx/model.ts";
import { checkProducts, quantizeProducts } from "../../../../shared/onnx/quantize/products.ts";
import { saturatesPairs } from "../../../../shared/onnx/quantize/saturation.ts";
import { quantizeWeights } from "../../../../shared/onnx/quantize/weights.ts";
import { decodeModel } from "../../../../shared/onnx/read.ts";
import { createSession } from "../../../../shared/onnx/session.ts";
import { encodeModel } from "../../../../shared/onnx/write.ts";
import { Rng } from "../../../../shared/rng.ts";
import { bytesOf } from "../models.ts";

const floats = (name: string, shape: readonly number[], values: Float32Array): Initializer => ({ name, type: "float32", shape, data: bytesOf(values) }); // prettier-ignore
const node = (
  op: string,
  inputs: readonly string[],
  output: string,
  attributes?: Readonly<Record<string, Attribute>>,
): OnnxNode => ({ op, name: `${op} ${output}`, inputs, outputs: [output], ...(attributes && { attributes }) });
const int = (value: number): Attribute => ({ kind: "int", value });

/** Between −`size` and `size`. */
const numbers = (seed: number, count: number, size = 1): Float32Array => {
  const rng = Rng.fromSeed(seed);
  return Float32Array.from({ length: count }, () => (2 * rng.uniform() - 1) * size);
};

/** x [R, k] to y [R, n], through `nodes`. */
const graph = (
  [k, n]: readonly [number, number],
  nodes: readonly OnnxNode[],
  initializers: readonly Initializer[],
): OnnxModel => ({
  ...{ name: "graph", irVersion: 8, opsets: { "": 17 }, producer: "test", nodes, initializers },
  inputs: [{ name: "x", type: "float32", shape: ["R", k] }],
  outputs: [{ name: "y", type: "float32", shape: ["R", n] }],
});

const product = (k: number, n: number, weights: Float32Array): OnnxModel =>
  graph([k, n], [node("MatMul", ["x", "w"], "y")], [floats("w", [k, n], weights)]);

async function run(model: OnnxModel, x: Float32Array): Promise<Float32Array> {
  const [, k] = model.inputs[0]?.shape ?? [];
  if (typeof k !== "number") throw new Error("x must be [R, k]");
  const session = await createSession(encodeModel(model), { threads: 1 });
  const { y } = await session.run({ x: { type: "float32", shape: [x.length / k, k], data: x } });
  await session.dispose();
  if (!(y?.data instanceof Float32Array)) throw new Error("y must be float32");
  return y.data;
}

const signed = async () => ({ unsignedWeights: await saturatesPairs() });
const operators = ({ nodes }: OnnxModel): string[] => nodes.map(({ op }) => op);
const timesIn = (model: OnnxModel, op: string): number => operators(model).filter((own) => own === op).length;

const evenlyRounded = (value: number): number => {
  const floor = Math.floor(value);
  const part = value - floor;
  return part === 0.5 ? floor + (Math.abs(floor) % 2) : Math.round(value);
};

/** The product in JavaScript's numbers: integers are exact, what is float32 in the graph is rounded to it. */
function oracle(x: Float32Array, weights: Float32Array, [k, n]: readonly [number, number]): Float32Array {
  const { values, scales } = quantizeWeights(weights, [k, n], 1);
  const step = Math.fround(1 / 127);
  return Float32Array.from({ length: (x.length / k) * n }, (_, at) => {
    const [row, column] = [x.subarray(Math.floor(at / n) * k, (Math.floor(at / n) + 1) * k), at % n];
    const largest = Math.max(...row.map(Math.abs));
    const toInteger = (value: number): number => evenlyRounded(Math.fround(Math.fround(value / largest) / step));
    const sum = row.reduce((total, value, i) => total + toInteger(value) * (values[i * n + column] ?? 0), 0);
    return Math.fround(Math.fround(Math.fround(sum) * Math.fround(step * (scales[column] ?? 0))) * largest);
  });
}

const sized = fc.record({
  rows: fc.integer({ min: 1, max: 7 }),
  k: fc.integer({ min: 16, max: 70 }),
  n: fc.integer({ min: 16, max: 40 }),
  seed: fc.nat(),
  size: fc.constantFrom(1e-20, 1e-3, 1, 1e4),
});

describe("a product of rows with a constant matrix", () => {
  test("is the product of the rounded integers, scaled: bit for bit what JavaScript counts", async () => {
    await fc.assert(
      fc.asyncProperty(sized, async ({ rows, k, n, seed, size }) => {
        const [x, weights] = [numbers(seed, rows * k, size), numbers(seed + 1, k * n)];
        const y = await run(quantizeProducts(product(k, n, weights), await signed()), x);
        expect(y).toEqual(oracle(x, weights, [k, n]));
      }),
      { numRuns: 25 },
    );
  });

  test("is as far from float32 as halves of two steps allow", async () => {
    await fc.assert(
      fc.asyncProperty(sized, async ({ rows, k, n, seed, size }) => {
        const [x, weights] = [numbers(seed, rows * k, size), numbers(seed + 1, k * n)];
        const model = product(k, n, weights);
        const [exact, y] = [await run(model, x), await run(quantizeProducts(model, await signed()), x)];
        const { scales } = quantizeWeights(weights, [k, n], 1);
        for (const [at, value] of y.entries()) {
          const row = x.subarray(Math.floor(at / n) * k, (Math.floor(at / n) + 1) * k);
          const [halfX, halfW] = [Math.max(...row.map(Math.abs)) / 254, (scales[at % n] ?? 0) / 2];
          const allowed = row.reduce((sum, own, i) => sum + Math.abs(own) * halfW + Math.abs(weights[i * n + (at % n)] ?? 0) * halfX + halfX * halfW, 0); // prettier-ignore
          expect(Math.abs(value - (exact[at] ?? NaN))).toBeLessThanOrEqual(allowed * (1 + 1e-4));
        }
      }),
      { numRuns: 25 },
    );
  });

  test("of a row does not depend on the rows beside it, be they larger, not finite or not there", async () => {
    const [k, n] = [48, 33];
    const model = quantizeProducts(product(k, n, numbers(1, k * n)), await signed());
    const rows = [1e-12, 1, 1, 1e9, 1].map((size, i) => numbers(10 + i, k, size));
    const alone = await Promise.all(rows.map((row) => run(model, row)));
    const broken = new Float32Array(k).fill(1).fill(NaN, 3, 4);
    const together = await run(model, Float32Array.from([...rows, broken].flatMap((row) => [...row])));
    for (const [i, y] of alone.entries()) expect(together.subarray(i * n, (i + 1) * n)).toEqual(y);
  });

  test("of a row of zeros is 0, and of a row with an infinity nothing that is finite", async () => {
    const [k, n] = [32, 16];
    const model = quantizeProducts(product(k, n, numbers(1, k * n)), await signed());
    const rows = [0, Infinity, -Infinity].map((odd) => new Float32Array(k).fill(odd === 0 ? 0 : 1).fill(odd, 7, 8));
    const y = await run(model, Float32Array.from(rows.flatMap((row) => [...row])));
    expect([...y.subarray(0, n)].every((value) => value === 0)).toBe(true);
    expect([...y.subarray(n)].filter(Number.isFinite)).toEqual([]);
  });

  test("is exact with the largest integers there are, on this processor too", async () => {
    const [k, n] = [128, 32];
    const [x, weights] = [new Float32Array(k).fill(1), new Float32Array(k * n).fill(1)];
    const expected = oracle(x, weights, [k, n]);
    expect(await run(quantizeProducts(product(k, n, weights), await signed()), x)).toEqual(expected);
    expect(expected[0]).toBeCloseTo(k, 3);
  });

  test("is the same with weights stored unsigned", async () => {
    const [k, n] = [70, 19];
    const [x, weights] = [numbers(1, 3 * k), numbers(2, k * n)];
    const unsigned = quantizeProducts(product(k, n, weights), { unsignedWeights: true });
    expect(unsigned.initializers.find(({ name }) => name === "int8/w")).toMatchObject({ type: "uint8" });
    expect(await run(unsigned, x)).toEqual(oracle(x, weights, [k, n]));
  });
});

describe("of a graph", () => {
  const [k, n] = [24, 24];
  const w = floats("w", [k, n], numbers(1, k * n));
  const v = floats("v", [k, n], numbers(2, k * n));
  const b = floats("b", [n], numbers(3, n));

  test("a Gemm with its weights transposed and a bias is that product, and the bias stays float32", async () => {
    const turned = Float32Array.from({ length: k * 20 }, (_, at) => (at % 7) - 3);
    const model = graph(
      [k, 20],
      [node("Gemm", ["x", "w", "b"], "y", { transB: int(1) })],
      [floats("w", [20, k], turned), floats("b", [20], numbers(5, 20))],
    );
    const straight = Float32Array.from({ length: k * 20 }, (_, at) => turned[(at % 20) * k + Math.floor(at / 20)] ?? 0);
    const x = numbers(6, 2 * k);
    const plain = oracle(x, straight, [k, 20]);
    const bias = numbers(5, 20);
    expect(await run(quantizeProducts(model, await signed()), x)).toEqual(plain.map((value, at) => value + (bias[at % 20] ?? 0))); // prettier-ignore
  });

  test("a Gemm may add a whole matrix: a residual sum", async () => {
    const x = numbers(6, 2 * k);
    const sum = numbers(7, 2 * n);
    const model = graph([k, n], [node("Gemm", ["x", "w", "c"], "y")], [w, floats("c", [2, n], sum)]);
    const plain = oracle(x, numbers(1, k * n), [k, n]);
    expect(await run(quantizeProducts(model, await signed()), x)).toEqual(plain.map((value, at) => value + (sum[at] ?? 0))); // prettier-ignore
  });

  test("what several products share is rounded once: their input, and their matrix", () => {
    const nodes = [
      node("MatMul", ["x", "w"], "q"),
      node("MatMul", ["x", "v"], "r"),
      node("Add", ["q", "r"], "s"),
      node("MatMul", ["s", "w"], "y"),
    ];
    const quantized = quantizeProducts(graph([k, n], nodes, [w, v]));
    expect(timesIn(quantized, "MatMulIntegerToFloat")).toBe(3);
    expect(timesIn(quantized, "QuantizeLinear")).toBe(2);
    expect(quantized.initializers.filter(({ type }) => type === "int8")).toHaveLength(2);
    expect(quantized.initializers.map(({ name }) => name)).not.toContain("w");
  });

  test("a matrix that the file lists among the inputs, as older ones do, is no feed", async () => {
    const model = graph([k, n], [node("MatMul", ["x", "w"], "p"), node("Add", ["p", "b"], "y")], [w, b]);
    const listed = { ...model, irVersion: 3, inputs: [...model.inputs, ...model.initializers] };
    const [quantized, plain] = [quantizeProducts(listed, await signed()), quantizeProducts(model, await signed())];
    expect(quantized.inputs.map(({ name }) => name)).toEqual(["x", "b"]);
    const x = numbers(4, 3 * k);
    expect(await run(quantized, x)).toEqual(await run(plain, x));
  });

  test("a matrix that is also something else stays beside its integers", () => {
    const nodes = [node("MatMul", ["x", "w"], "q"), node("Add", ["q", "w"], "y")];
    const quantized = quantizeProducts(graph([k, n], nodes, [w]));
    expect(quantized.initializers.map(({ name }) => name)).toEqual(expect.arrayContaining(["w", "int8/w"]));
  });

  test.each([
    ["a product of two activations", [node("Transpose", ["x"], "t"), node("MatMul", ["x", "t"], "y")], [w]],
    ["a product with the constant on the left", [node("MatMul", ["w", "x"], "y")], [w]],
    ["a matrix of fewer than 16 columns", [node("MatMul", ["x", "w"], "y")], [floats("w", [k, 15], numbers(1, k * 15))]], // prettier-ignore
    ["a matrix that moves numbers and turns their sign", [node("MatMul", ["x", "w"], "y")], [floats("w", [k, n], Float32Array.from({ length: k * n }, (_, at) => [0, 1, -1][at % 3] ?? 0))]], // prettier-ignore
    ["a stack of matrices", [node("MatMul", ["x", "w"], "y")], [floats("w", [2, k, n], numbers(1, 2 * k * n))]],
    ["a Gemm of x transposed", [node("Gemm", ["x", "w", "b"], "y", { transA: int(1) })], [w, b]],
    ["a Gemm that scales", [node("Gemm", ["x", "w", "b"], "y", { alpha: { kind: "float", value: 2 } })], [w, b]],
    ["another domain's MatMul", [{ ...node("MatMul", ["x", "w"], "y"), domain: "somebody" }], [w]],
    ["no product at all", [node("Identity", ["x"], "y")], []],
  ])("%s is left alone: the model comes back as it was", (_what, nodes, initializers) => {
    const model = graph([k, n], nodes, initializers);
    expect(quantizeProducts(model)).toBe(model);
    expect(() => { checkProducts(model, "here"); }).toThrow(expect.objectContaining({ exitCode: 2, message: expect.stringMatching(/here.*nothing to quantize/) as string })); // prettier-ignore
  });

  test.each([["", 10], ["", 11], ["", 13], ["", 17], ["", 18], ["ai.onnx", 18], ["ai.onnx", 17], ["", 21], ["", 25]])(
    "written for opset %j %i a product is the same",
    async (domain, version) => {
      const [model, x] = [product(k, n, numbers(1, k * n)), numbers(2, 3 * k)];
      const other = quantizeProducts({ ...model, opsets: { [domain]: version } }, await signed());
      expect(timesIn(other, "MatMulIntegerToFloat")).toBe(1);
      expect(await run(other, x)).toEqual(await run(quantizeProducts(model, await signed()), x));
    },
  ); // prettier-ignore

  test.each(["", "ai.onnx"])(
    "opset 9 (%j) cannot round: nothing is touched, and asking is a usage error (2) that names it",
    (domain) => {
      const model = { ...product(k, n, numbers(1, k * n)), opsets: { [domain]: 9 } };
      expect(quantizeProducts(model)).toBe(model);
      expect(() => { checkProducts(model, "here"); }).toThrow(expect.objectContaining({ exitCode: 2, message: expect.stringMatching(/here.*opset 10.*got 9/) as string })); // prettier-ignore
    },
  );

  test("the result is well formed and survives a file, whatever names the model has used", () => {
    const nodes = [
      node("Identity", ["x"], "int8/step"),
      node("Identity", ["int8/step"], "int8/int8/step/largest"),
      node("Gemm", ["int8/step", "w", "b"], "y"),
    ];
    const model = graph([k, n], nodes, [w, b]);
    const quantized = quantizeProducts(model);
    expect(() => { checkModel(quantized, { allowDomains: ["com.microsoft"] }); }).not.toThrow(); // prettier-ignore
    expect(decodeModel(encodeModel(quantized), "file")).toEqual(quantized);
    expect(model.nodes).toEqual(nodes);
  });
});
