/** Small convolutional graphs of given numbers, for the tests of shared/onnx/quantize. Knows no runtime. */
import type { Attribute, Initializer, OnnxModel, OnnxNode, OnnxType } from "../../../../shared/onnx/model.ts";
import { sizeOf } from "../../../../shared/records.ts";
import { Rng } from "../../../../shared/rng.ts";

export const SIDE = 6;

export function constant(name: string, shape: readonly number[], values: readonly number[]): Initializer {
  return { name, type: "float32", shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

export function integers(name: string, values: readonly number[]): Initializer {
  return { name, type: "int64", shape: [values.length], data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) }; // prettier-ignore
}

export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });
export const int = (value: number): Attribute => ({ kind: "int", value });

export interface Layer {
  readonly from: string;
  readonly to: string;
  readonly weights: string;
  readonly bias?: string;
  /** Side of the kernel; padded so that a map keeps its size at stride 1. */
  readonly kernel?: number;
}

export function conv({ from, to, weights, bias, kernel = 3 }: Layer): OnnxNode {
  const pad = Math.floor(kernel / 2);
  const attributes = { kernel_shape: ints([kernel, kernel]), pads: ints([pad, pad, pad, pad]), strides: ints([1, 1]) };
  const inputs = [from, weights, ...(bias === undefined ? [] : [bias])];
  return { op: "Conv", name: `conv ${to}`, inputs, outputs: [to], attributes };
}

export const node = (
  op: string,
  inputs: readonly string[],
  to: string,
  attributes: OnnxNode["attributes"] = {},
): OnnxNode => ({ op, name: `${op} ${to}`, inputs, outputs: [to], attributes });

export interface Parts {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly Initializer[];
  /** Channels of `x` [N, C, 6, 6]. */
  readonly channels: number;
  readonly output?: { readonly name: string; readonly type: OnnxType };
}

export function graph({ nodes, initializers, channels, output = { name: "y", type: "float32" } }: Parts): OnnxModel {
  return {
    name: "small",
    irVersion: 8,
    opsets: { "": 17 },
    producer: "test",
    inputs: [{ name: "x", type: "float32", shape: ["N", channels, SIDE, SIDE] }],
    outputs: [{ ...output, shape: ["N", "M", "H", "W"] }],
    initializers,
    nodes,
  };
}

/** Numbers around 0, of a deviation. */
export function numbers(seed: number, shape: readonly number[], deviation = 1): number[] {
  const rng = Rng.fromSeed(seed);
  return Array.from({ length: sizeOf(shape) }, () => deviation * rng.normal());
}

export const random = (name: string, shape: readonly number[], seed: number, deviation?: number): Initializer =>
  constant(name, shape, numbers(seed, shape, deviation));

/**
 * As a tokenizer's graphs are: a convolution, a residual block of two around a ReLU, a convolution that spreads four phases over twice the side, a bias, a
 * ReLU, a last convolution. Weights are turned before they are used, as large ones are in a published file.
 */
export function residual(
  output: { readonly name: string; readonly type: OnnxType } = { name: "y", type: "float32" },
): OnnxModel {
  const [C, R] = [8, 4];
  const last = output.type === "uint8" ? [node("Mul", ["p", "gain"], "g"), node("Clip", ["g", "low", "high"], "c"), node("Cast", ["c"], "y", { to: int(2) })] : [node("Identity", ["p"], "y")]; // prettier-ignore
  return graph({
    channels: 5,
    output,
    initializers: [
      random("w0", [3, 3, 5, C], 1, 0.2),
      random("b0", [C], 2, 0.1),
      random("w1", [R, C, 3, 3], 3, 0.2),
      random("b1", [R], 4, 0.1),
      random("w2", [C, R, 1, 1], 5, 0.4),
      random("w3", [4 * C, C, 2, 2], 6, 0.2),
      random("b3", [1, C, 1, 1], 7, 0.2),
      random("w4", [3, C, 3, 3], 8, 0.2),
      integers("starts", [0, 0, 0]),
      integers("ends", [4 * C, SIDE, SIDE]),
      integers("axes", [1, 2, 3]),
      integers("steps", [1, 1, 1]),
      integers("columns", [-1, 2, 2 * C * SIDE * SIDE]),
      integers("map", [-1, C, 2 * SIDE, 2 * SIDE]),
      ...[constant("gain", [], [100]), constant("low", [], [0]), constant("high", [], [255])],
    ],
    nodes: [
      node("Transpose", ["w0"], "w0t", { perm: ints([3, 2, 0, 1]) }),
      conv({ from: "x", to: "a", weights: "w0t", bias: "b0" }),
      node("Relu", ["a"], "ar"),
      conv({ from: "ar", to: "r", weights: "w1", bias: "b1" }),
      node("Relu", ["r"], "rr"),
      conv({ from: "rr", to: "n", weights: "w2", kernel: 1 }),
      node("Add", ["a", "n"], "s"),
      node("Relu", ["s"], "sr"),
      { ...conv({ from: "sr", to: "u", weights: "w3", kernel: 2 }) }, // [N, 4·C, 7, 7]
      node("Slice", ["u", "starts", "ends", "axes", "steps"], "cut"),
      node("Reshape", ["cut", "columns"], "flat"),
      node("Transpose", ["flat"], "turned", { perm: ints([0, 2, 1]) }),
      node("Reshape", ["turned", "map"], "m"),
      node("Add", ["m", "b3"], "mb"),
      node("Relu", ["mb"], "mr"),
      conv({ from: "mr", to: "p", weights: "w4" }),
      ...last,
    ],
  });
}
