/** Convolutions in int8: exactly the integers they should be, close to float32, and the same for an image whatever its batch. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkModel } from "../../../../shared/onnx/check.ts";
import type { OnnxModel, OnnxNode } from "../../../../shared/onnx/model.ts";
import { activationNames, quantizeConvolutions, type Ranges } from "../../../../shared/onnx/quantize/convolutions.ts";
import { createRangeMeter } from "../../../../shared/onnx/quantize/ranges.ts";
import { saturatesPairs } from "../../../../shared/onnx/quantize/saturation.ts";
import { quantizeWeights } from "../../../../shared/onnx/quantize/weights.ts";
import { createSession, type OnnxSession } from "../../../../shared/onnx/session.ts";
import { encodeModel } from "../../../../shared/onnx/write.ts";
import { sizeOf } from "../../../../shared/records.ts";
import { constant, conv, graph, int, node, numbers, random, residual, SIDE } from "./convolutional.ts";

const threads = { threads: 1 };
/** As every loader of a graph decides; the graphs that are only looked at need not. */
const unsignedWeights = await saturatesPairs();
const AREA = SIDE * SIDE;

const feed = (count: number, channels: number, seed = 50) => {
  const shape = [count, channels, SIDE, SIDE];
  return { x: { type: "float32", shape, data: Float32Array.from(numbers(seed, shape)) } as const };
};

async function measure(model: OnnxModel, count: number, channels: number): Promise<Ranges> {
  const meter = await createRangeMeter(model, threads);
  await meter.run(feed(count, channels));
  await meter.dispose();
  return meter.ranges();
}

const operators = ({ nodes }: OnnxModel): string[] => nodes.map(({ op }) => op);

describe("one convolution and its ReLU", () => {
  const [C, M, K] = [4, 3, 3];
  const weights = numbers(1, [M, C, K, K], 0.3);
  const bias = [0.5, -0.25, 40];
  const second = random("w2", [1, M, 1, 1], 3);
  const model = graph({
    channels: C,
    initializers: [constant("w", [M, C, K, K], weights), constant("b", [M], bias), second],
    nodes: [
      conv({ from: "x", to: "a", weights: "w", bias: "b" }),
      node("Relu", ["a"], "r"),
      conv({ from: "r", to: "y", weights: "w2", kernel: 1 }),
    ],
  });
  // The largest number of `x` is 2.55: a byte is a hundredth, and the point at 0 is 100.
  const ranges: Ranges = { x: [-1, 1.55], r: [0, 51] };

  test("is the sum of products of bytes and int8 weights, rounded to a byte", async () => {
    const quantized = quantizeConvolutions(model, ranges, { unsignedWeights });
    const bytes = { name: "a/uint8", type: "uint8" as const, shape: ["", "", "", ""] };
    const session = await createSession(encodeModel({ ...quantized, outputs: [bytes] }), threads);
    const { x } = feed(2, C);
    const got = Array.from((await session.run({ x }))["a/uint8"]?.data ?? [], Number);
    await session.dispose();

    const [scale, zero] = [Math.fround(2.55 / 255), 100];
    const input = Array.from(x.data, (value) => Math.min(255, Math.max(0, roundHalfToEven(Math.fround(value / scale)) + zero))); // prettier-ignore
    const { values, scales } = quantizeWeights(Float32Array.from(weights), [M, C, K, K], 0);
    const at = (n: number, c: number, row: number, column: number): number =>
      row < 0 || column < 0 || row >= SIDE || column >= SIDE ? 0 : (input[((n * C + c) * SIDE + row) * SIDE + column] ?? 0) - zero; // prettier-ignore
    let off = 0;
    for (const [i, byte] of got.entries()) {
      const [n, m, row, column] = [Math.floor(i / (M * AREA)), Math.floor(i / AREA) % M, Math.floor(i / SIDE) % SIDE, i % SIDE]; // prettier-ignore
      const step = scale * (scales[m] ?? 0);
      let sum = Math.round((bias[m] ?? 0) / step);
      for (let c = 0; c < C; c++)
        for (let tap = 0; tap < K * K; tap++)
          sum += at(n, c, row + Math.floor(tap / K) - 1, column + (tap % K) - 1) * (values[(m * C + c) * K * K + tap] ?? 0); // prettier-ignore
      const exact = Math.min(255, Math.max(0, (sum * step) / Math.fround(51 / 255)));
      // A sum within float32's rounding of a half may fall on either side.
      expect(Math.abs(byte - exact)).toBeLessThanOrEqual(0.5 + 1e-4);
      if (byte !== Math.round(exact)) off++;
    }
    expect(got).toHaveLength(2 * M * AREA);
    expect(off).toBeLessThan(3);
    expect(new Set(got).size).toBeGreaterThan(20);
  });

  test("is one node; the last convolution stays float32 where its result is not bytes anyhow", () => {
    expect(operators(quantizeConvolutions(model, ranges))).toEqual(["QuantizeLinear", "QLinearConv", "DequantizeLinear", "Conv"]); // prettier-ignore
    expect(activationNames(model)).toEqual(["x", "r"]);
  });

  test("holds a bias that is large beside its weights", async () => {
    const faint = { ...model, initializers: [constant("w", [M, C, K, K], weights.map((value) => value * 1e-12)), constant("b", [M], bias), second] }; // prettier-ignore
    const session = await createSession(encodeModel(quantizeConvolutions(faint, ranges, { unsignedWeights })), threads);
    const float = await createSession(encodeModel(faint), threads);
    const [a, b] = [await session.run(feed(1, C)), await float.run(feed(1, C))];
    await Promise.all([session.dispose(), float.dispose()]);
    for (const [i, value] of (b["y"]?.data ?? []).entries()) expect(Number(a["y"]?.data[i])).toBeCloseTo(Number(value), 0); // prettier-ignore
    expect(b["y"]?.data.some((value) => Math.abs(Number(value)) > 1)).toBe(true);
  });

  test("without a range is a mismatch (4) that names the value", () => {
    expect(() => quantizeConvolutions(model, { x: [-1, 1] })).toThrow(
      expect.objectContaining({ exitCode: 4, message: expect.stringMatching(/nothing of the graph's value "r" \(expected x, r, got x\)/) as string }), // prettier-ignore
    );
  });

  test.each(["basic", "extended", "all"] as const)(
    "over fewer than four channels stays float32, between bytes too and whatever the runtime optimizes (%s)",
    async (optimization) => {
      // The largest bytes times the largest weights: in integers, pairs would saturate.
      const ones = (name: string, shape: readonly number[]) => constant(name, shape, new Array<number>(sizeOf(shape)).fill(1)); // prettier-ignore
      const between = graph({
        channels: C,
        initializers: [ones("w", [3, C, 1, 1]), ones("w2", [C, 3, 1, 1]), ones("w3", [1, C, 1, 1]), ones("w4", [1, 1, 1, 1])], // prettier-ignore
        nodes: [
          conv({ from: "x", to: "a", weights: "w", kernel: 1 }),
          conv({ from: "a", to: "b", weights: "w2", kernel: 1 }),
          conv({ from: "b", to: "c", weights: "w3", kernel: 1 }),
          conv({ from: "c", to: "y", weights: "w4", kernel: 1 }),
        ],
      });
      const ranges = { x: [0, 1], a: [0, C], b: [0, 3 * C], c: [0, 3 * C * C] } as const;
      const quantized = quantizeConvolutions(between, ranges, { unsignedWeights });
      expect(operators(quantized)).toEqual(["QuantizeLinear", "QLinearConv", "DequantizeLinear", "Conv", "QuantizeLinear", "QLinearConv", "DequantizeLinear", "Conv"]); // prettier-ignore
      const x = { type: "float32", shape: [1, C, SIDE, SIDE], data: new Float32Array(C * AREA).fill(1) } as const;
      const [float, int8] = [
        await createSession(encodeModel(between), threads),
        await createSession(encodeModel(quantized), { ...threads, optimization }),
      ];
      const [exact, close] = [(await float.run({ x }))["y"]?.data ?? [], (await int8.run({ x }))["y"]?.data];
      await Promise.all([float.dispose(), int8.dispose()]);
      expect(exact).toHaveLength(AREA);
      for (const [i, value] of exact.entries()) expect(Number(close?.[i])).toBeCloseTo(Number(value), 3);
    },
  );

  test("alone over fewer than four channels needs no range", () => {
    const narrow = { ...model, initializers: [constant("w", [M, 3, K, K], weights.slice(0, M * 27)), constant("b", [M], bias), second] }; // prettier-ignore
    expect(activationNames(narrow)).toEqual([]);
    expect(operators(quantizeConvolutions(narrow, {}))).toEqual(operators(model));
  });

  test("takes no weights as a feed where the file lists them among the inputs, as older ones do", async () => {
    const listed = { ...model, irVersion: 3, inputs: [...model.inputs, ...model.initializers] };
    const quantized = quantizeConvolutions(listed, ranges, { unsignedWeights });
    expect(quantized.inputs.map(({ name }) => name)).toEqual(["x", "w2"]);
    const session = await createSession(encodeModel(quantized), threads);
    const plain = await createSession(encodeModel(quantizeConvolutions(model, ranges, { unsignedWeights })), threads);
    expect(await session.run(feed(1, C))).toEqual(await plain.run(feed(1, C)));
    await Promise.all([session.dispose(), plain.dispose()]);
  });

  test("of weights that are no constant stays float32", () => {
    const [first, ...rest] = model.nodes;
    const made = {
      ...model,
      nodes: [node("Abs", ["w"], "v"), { ...first, inputs: ["x", "v", "b"] } as never, ...rest],
    };
    expect(operators(quantizeConvolutions(made, {}))).toEqual(operators(made));
  });
});

describe.each(["float32", "uint8"] as const)("a residual network with phases, to %s", (type) => {
  const model = residual({ name: "y", type });
  const CHANNELS = 5;
  const COUNT = 4;
  let float: OnnxSession;
  let int8: OnnxSession;
  let quantized: OnnxModel;
  beforeAll(async () => {
    quantized = quantizeConvolutions(model, await measure(model, COUNT, CHANNELS), { unsignedWeights });
    float = await createSession(encodeModel(model), threads);
    int8 = await createSession(encodeModel(quantized), threads);
  });
  afterAll(() => Promise.all([float.dispose(), int8.dispose()]));

  const run = async (session: OnnxSession, feeds: ReturnType<typeof feed>): Promise<number[]> =>
    Array.from((await session.run(feeds))["y"]?.data ?? [], Number);

  test("stays in bytes between its convolutions: no number is turned back but before what is float32", () => {
    const ops = operators(quantized);
    const count = (op: string): number => ops.filter((name) => name === op).length;
    // The sum before a last convolution in float32 is one of float32 too.
    expect([count("Relu"), count("QLinearAdd"), count("Add")]).toEqual(type === "uint8" ? [0, 2, 0] : [1, 1, 1]);
    const weights = new Set(quantized.initializers.map(({ name }) => name)); // those are quantized once, by the runtime
    expect(quantized.nodes.filter(({ op, inputs: [input = ""] }) => op === "QuantizeLinear" && !weights.has(input))).toHaveLength(1); // prettier-ignore
    expect(count("DequantizeLinear")).toBe(1);
    expect([count("QLinearConv"), count("Conv")]).toEqual(type === "uint8" ? [5, 0] : [4, 1]);
    expect(() => {
      checkModel(quantized, { allowDomains: ["com.microsoft"] });
    }).not.toThrow();
    expect([quantized.inputs, quantized.outputs]).toEqual([model.inputs, model.outputs]);
  });

  test.skipIf(unsignedWeights)("is the same, bit for bit, with weights stored as uint8", async () => {
    const ranges = await measure(model, COUNT, CHANNELS);
    const unsigned = quantizeConvolutions(model, ranges, { unsignedWeights: true });
    expect(unsigned.initializers.some((initializer) => initializer.type === "int8")).toBe(false);
    const session = await createSession(encodeModel(unsigned), threads);
    expect(await run(session, feed(COUNT, CHANNELS))).toEqual(await run(int8, feed(COUNT, CHANNELS)));
    await session.dispose();
  });

  test("is close to float32 on the images whose ranges it has", async () => {
    const [exact, close] = [await run(float, feed(COUNT, CHANNELS)), await run(int8, feed(COUNT, CHANNELS))];
    const square = (values: readonly number[]): number => values.reduce((sum, value) => sum + value * value, 0);
    const signal = square(exact.map((value) => value - exact.reduce((a, b) => a + b, 0) / exact.length));
    expect(square(exact.map((value, i) => value - (close[i] ?? NaN)))).toBeLessThan(signal * 2e-3);
    expect(close).not.toEqual(exact);
  });

  test("gives an image the same, bit for bit, alone and among others, also beyond its ranges", async () => {
    const batch = feed(7, CHANNELS, 99);
    for (const i of batch.x.data.keys()) batch.x.data[i] = 3 * (batch.x.data[i] ?? 0);
    const together = await run(int8, batch);
    const length = CHANNELS * AREA;
    const one = together.length / 7;
    for (let i = 0; i < 7; i++) {
      const data = batch.x.data.slice(i * length, (i + 1) * length);
      const alone = await run(int8, { x: { ...batch.x, shape: [1, CHANNELS, SIDE, SIDE], data } });
      expect(alone).toEqual(together.slice(i * one, (i + 1) * one));
    }
  });
});

describe("what is joined", () => {
  const C = 4;
  /** a is a hundred times as large as b. */
  const joined = (...last: readonly OnnxNode[]): OnnxModel =>
    graph({
      channels: C,
      initializers: [random("wa", [C, C, 1, 1], 1, 10), random("wb", [C, C, 1, 1], 2, 0.1), random("wc", [C, 2 * C, 1, 1], 3), random("wd", [C, C, 1, 1], 4)], // prettier-ignore
      nodes: [
        conv({ from: "x", to: "a", weights: "wa", kernel: 1 }),
        conv({ from: "x", to: "b", weights: "wb", kernel: 1 }),
        node("Concat", ["b", "a"], "ab", { axis: int(1) }),
        conv({ from: "ab", to: "c", weights: "wc", kernel: 1 }),
        ...last,
      ],
    });
  const close = async (model: OnnxModel): Promise<OnnxModel> => {
    const quantized = quantizeConvolutions(model, await measure(model, 2, C), { unsignedWeights });
    const [float, int8] = [await createSession(encodeModel(model), threads), await createSession(encodeModel(quantized), threads)]; // prettier-ignore
    const [exact, got] = [(await float.run(feed(2, C)))["y"]?.data ?? [], (await int8.run(feed(2, C)))["y"]?.data];
    await Promise.all([float.dispose(), int8.dispose()]);
    let [error, signal] = [0, 0];
    for (const [i, value] of exact.entries()) {
      error += (Number(got?.[i]) - Number(value)) ** 2;
      signal += Number(value) ** 2;
    }
    expect(Math.sqrt(error / signal)).toBeLessThan(0.03);
    return quantized;
  };

  test("is joined in float32 where its parts are read alone too, and so have ranges of their own", async () => {
    const alone = conv({ from: "b", to: "d", weights: "wd", kernel: 1 });
    const { nodes } = await close(joined(alone, node("Add", ["c", "d"], "y")));
    expect(nodes.find(({ op }) => op === "Concat")).toMatchObject({ inputs: ["b", "a"], outputs: ["ab"] });
  });

  test("is joined as bytes where its parts are read together only, and so have one range", async () => {
    const { nodes } = await close(joined(conv({ from: "c", to: "y", weights: "wd", kernel: 1 })));
    expect(nodes.find(({ op }) => op === "Concat")).toMatchObject({ inputs: ["b/uint8", "a/uint8"] });
  });
});

test("ranges are the extremes over all runs and hold 0", async () => {
  const w = constant("w", [4, 4, 1, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
  const nodes = [conv({ from: "x", to: "a", weights: "w", kernel: 1 }), conv({ from: "a", to: "y", weights: "w", kernel: 1 })]; // prettier-ignore
  const meter = await createRangeMeter(graph({ channels: 4, initializers: [w], nodes }), threads);
  for (const value of [3, 2, 5]) {
    const data = new Float32Array(4 * AREA).fill(value);
    const { y } = await meter.run({ x: { type: "float32", shape: [1, 4, SIDE, SIDE], data } });
    expect(y?.data).toEqual(data);
  }
  expect(meter.ranges()).toEqual({ x: [0, 5], a: [0, 5] });
  await meter.dispose();
});

/** As the runtime quantizes. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest === 0.5 ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(value);
}
