/** Graphs of bytes as others write them: each is found where it can saturate, and is exact on this processor where it is not found. */
import { describe, expect, test } from "vitest";
import type { Attribute, Initializer, OnnxModel, OnnxNode, OnnxType } from "../../../../shared/onnx/model.ts";
import { checkSaturation, saturatesPairs } from "../../../../shared/onnx/quantize/saturation.ts";
import { findSignedProduct } from "../../../../shared/onnx/quantize/signed-products.ts";
import { createSession, type TensorData } from "../../../../shared/onnx/session.ts";
import { encodeModel } from "../../../../shared/onnx/write.ts";
import { int, ints, node as standard } from "./convolutional.ts";

/** y [1, N] = x [1, K] · w [K, N], as one number each: all of x alike, all of w alike. */
const [K, N] = [64, 16];
const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array, int8: Int8Array, bool: Uint8Array } as const; // prettier-ignore

function filled(type: OnnxType, size: number, value: number): TensorData {
  return type === "int64" ? new BigInt64Array(size).fill(BigInt(value)) : new ARRAYS[type](size).fill(value);
}
function constant(name: string, type: OnnxType, shape: readonly number[], value: number): Initializer {
  const { buffer } = filled(type, shape.reduce((a, b) => a * b, 1), value); // prettier-ignore
  return { name, type, shape, data: new Uint8Array(buffer) };
}
const weights = (type: "int8" | "uint8" | "float32", value: number, shape = [K, N]) =>
  constant("w", type, shape, value);
const microsoft = (op: string, inputs: readonly string[]): OnnxNode => ({ ...standard(op, inputs, "y"), domain: "com.microsoft" }); // prettier-ignore
const node = (op: string, inputs: string, to = "y", attributes: Readonly<Record<string, Attribute>> = {}): OnnxNode =>
  standard(op, inputs.split(" "), to, attributes);

/** One of each type, and a step at which y is a byte of 100. */
const SCALARS = (sum: number): Initializer[] => [
  constant("u0", "uint8", [], 0),
  constant("i0", "int8", [], 0),
  constant("one", "float32", [], 1),
  constant("step", "float32", [], Math.abs(sum) / 100),
];

interface Case {
  readonly nodes: readonly OnnxNode[];
  readonly w: Initializer;
  readonly x?: readonly ["uint8" | "int8" | "float32", number];
  readonly y?: OnnxType;
  /** Of the number in y; default: K times x times w. */
  readonly weight?: number;
  readonly fed?: boolean;
  readonly rank?: 2 | 4;
}

function modelOf({ nodes, w, x = ["uint8", 255], y = "int32", weight = 127, fed = false, rank = 2 }: Case) {
  const sum = K * x[1] * weight;
  const [from, to] = rank === 2 ? [[1, K], [1, N]] : [[1, K, 1, 1], [1, N, 1, 1]]; // prettier-ignore
  const model: OnnxModel = {
    ...{ name: "bytes", irVersion: 8, opsets: { "": 17, "com.microsoft": 1 }, producer: "somebody", nodes },
    inputs: [{ name: "x", type: x[0], shape: from }, ...(fed ? [{ name: "w", type: w.type, shape: w.shape }] : [])],
    outputs: [{ name: "y", type: y, shape: to }],
    initializers: [...SCALARS(sum), ...(fed ? [] : [w])],
  };
  const feeds = {
    x: { type: x[0], shape: from, data: filled(x[0], K, x[1]) },
    ...(fed && { w: { type: w.type, shape: w.shape, data: filled(w.type, K * N, weight) } }),
  };
  const expected = y === "uint8" || y === "int8" ? 100 * Math.sign(sum) : sum;
  return { model, feeds, expected };
}

async function numbersOf({ model, feeds }: ReturnType<typeof modelOf>): Promise<number[]> {
  const session = await createSession(encodeModel(model), { threads: 1 });
  const { y } = await session.run(feeds);
  await session.dispose();
  return Array.from(y?.data ?? [], Number);
}

const W8 = weights("int8", 127);
const FILTERS = weights("int8", 127, [N, K, 1, 1]);
const PLAIN = node("MatMulInteger", "x w");
const ON_BYTES = "x one u0 w one i0 step u0";

const SIGNED: readonly (readonly [string, Case])[] = [
  ["MatMulInteger", { nodes: [PLAIN], w: W8 }],
  ["weights just beyond seven bits", { nodes: [PLAIN], w: weights("int8", 65), weight: 65 }],
  ["negative ones too", { nodes: [PLAIN], w: weights("int8", -65), weight: -65 }],
  ["weights that are turned first", { nodes: [node("Transpose", "w", "v", { perm: ints([1, 0]) }), node("MatMulInteger", "x v")], w: weights("int8", 127, [N, K]) }], // prettier-ignore
  ["weights that are rounded first", { nodes: [node("QuantizeLinear", "w one i0", "v"), node("MatMulInteger", "x v")], w: weights("float32", 127) }], // prettier-ignore
  ["weights that are cast first", { nodes: [node("Cast", "w", "v", { to: int(3) }), node("MatMulInteger", "x v")], w: weights("float32", 127) }], // prettier-ignore
  ["weights in a node of their own", { nodes: [{ ...node("Constant", "", "v", { value: { kind: "tensor", value: W8 } }), inputs: [] }, node("MatMulInteger", "x v")], w: W8 }], // prettier-ignore
  ["weights that are fed", { nodes: [PLAIN], w: W8, fed: true }],
  ["QLinearMatMul", { nodes: [node("QLinearMatMul", ON_BYTES)], w: W8, y: "uint8" }],
  ["QLinearConv", { nodes: [node("QLinearConv", ON_BYTES)], w: FILTERS, y: "uint8", rank: 4 }],
  ["MatMulIntegerToFloat", { nodes: [microsoft("MatMulIntegerToFloat", ["x", "w", "one", "one", "u0", "i0"])], w: W8, y: "float32" }], // prettier-ignore
  ["DynamicQuantizeMatMul", { nodes: [microsoft("DynamicQuantizeMatMul", ["x", "w", "one", "i0"])], w: W8, x: ["float32", 255], y: "float32" }], // prettier-ignore
  ["QGemm", { nodes: [microsoft("QGemm", ["x", "one", "u0", "w", "one", "i0"])], w: W8, y: "float32" }],
];

const HARMLESS: readonly (readonly [string, Case])[] = [
  ["weights of uint8", { nodes: [PLAIN], w: weights("uint8", 255), weight: 255 }],
  ["weights of seven bits", { nodes: [PLAIN], w: weights("int8", 64), weight: 64 }],
  ["negative ones", { nodes: [PLAIN], w: weights("int8", -64), weight: -64 }],
  ["int8 by int8", { nodes: [PLAIN], w: W8, x: ["int8", 127] }],
  ["the least int8 by the least", { nodes: [PLAIN], w: weights("int8", -128), weight: -128, x: ["int8", -128] }],
  ["int8 by int8 in QLinearMatMul", { nodes: [node("QLinearMatMul", "x one i0 w one i0 step i0")], w: W8, x: ["int8", 127], y: "int8" }], // prettier-ignore
  ["ConvInteger, whose filters are its left factor", { nodes: [node("ConvInteger", "x w")], w: FILTERS, rank: 4 }],
  ["bytes that are made float32 for a product", { nodes: [node("DequantizeLinear", "x one u0", "a"), node("DequantizeLinear", "w one i0", "b"), node("MatMul", "a b", "c"), node("QuantizeLinear", "c step u0")], w: W8, y: "uint8" }], // prettier-ignore
  ["and for a convolution", { nodes: [node("DequantizeLinear", "x one u0", "a"), node("DequantizeLinear", "w one i0", "b"), node("Conv", "a b", "c"), node("QuantizeLinear", "c step u0")], w: FILTERS, y: "uint8", rank: 4 }], // prettier-ignore
  ["weights alone that are made float32", { nodes: [node("DequantizeLinear", "w one i0", "b"), node("MatMul", "x b")], w: W8, x: ["float32", 255], y: "float32" }], // prettier-ignore
  ["weights that are rounded to uint8 first", { nodes: [{ ...node("DynamicQuantizeLinear", "w"), outputs: ["v", "scale", "zero"] }, node("MatMulInteger", "x v")], w: weights("float32", 127), weight: 255 }], // prettier-ignore
];

const saturates = await saturatesPairs();

describe("uint8 by int8", () => {
  test.each(SIGNED)("is found and refused where this processor saturates, and exact where not: %s", async (_what, one) => {
    const made = modelOf(one);
    const product = findSignedProduct(made.model);
    expect(product?.outputs).toEqual(["y"]);
    const check = checkSaturation(made.model, "here");
    if (!saturates) {
      await check;
      for (const number of await numbersOf(made)) expect(number).toBeCloseTo(made.expected);
      return;
    }
    const message = new RegExp(`^here: node "${product?.name ?? ""}".*uint8 by int8.*VNNI`);
    await expect(check).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(message) as string });
    for (const number of await numbersOf(made)) expect(number).not.toBe(made.expected);
  }); // prettier-ignore
});

describe("what cannot saturate", () => {
  test.each(HARMLESS)("is left alone, and exact on this processor: %s", async (_what, one) => {
    const made = modelOf(one);
    expect(findSignedProduct(made.model)).toBeUndefined();
    await checkSaturation(made.model, "here");
    const numbers = await numbersOf(made);
    expect(numbers).toHaveLength(N);
    for (const number of numbers) expect(number).toBeCloseTo(made.expected);
  });
});
