/** Computes small nodes whose inputs are all constants: rotary tables, permuted shapes, scalars. */
import { type Constant, type ConstantData, type Graph, type GraphBuilder, type Node, type Value } from "../graph.ts";
import { sizeOf } from "../../../records.ts";
import { binaryFunction, unaryFunction } from "../arithmetic.ts";
import { rewrite } from "../rewrite.ts";
import type { OnnxType } from "../../../onnx/model.ts";

/** Above this many elements a folded constant costs more in the file than the node costs at run time. */
const LARGEST = 1 << 16;

export function foldConstants(graph: Graph): Graph {
  return rewrite(graph, (g, node, inputs) => {
    const [output] = node.outputs;
    if (output === undefined || sizeOf(output.shape) > LARGEST) return undefined;
    const constants = inputs.map((input) => input?.constant);
    if (constants.length === 0 || !constants.every((constant) => constant !== undefined)) return undefined;
    return compute(g, node, inputs, output);
  });
}

function compute(
  g: GraphBuilder,
  node: Node,
  inputs: readonly (Value | undefined)[],
  output: Value,
): Value | undefined {
  const [a, b] = inputs;
  if (a === undefined) return undefined;
  if (node.op === "Reshape") return { type: output.type, shape: output.shape, constant: a.constant as Constant };
  const data = allocate(output.type, sizeOf(output.shape));
  const write = (valueAt: (i: number) => number): Value => {
    for (let i = 0; i < data.length; i++) data[i] = valueAt(i);
    return g.dense(data, output.shape, output.type);
  };
  if (node.op === "Transpose") {
    const perm = node.attributes["perm"];
    if (perm?.kind !== "ints") return undefined;
    const strides = stridesOf(a.shape);
    const read = reader(a);
    const source = sourceIndex(
      output.shape,
      perm.value.map((axis) => strides[axis] ?? 0),
    );
    return write((i) => read(source(i)));
  }
  const unary = inputs.length === 1 ? unaryFunction(node) : undefined;
  if (unary !== undefined) {
    const read = reader(a);
    return write((i) => unary(read(i)));
  }
  const binary = inputs.length === 2 && b !== undefined ? binaryFunction(node) : undefined;
  if (binary === undefined || b === undefined) return undefined;
  const [readA, readB] = [broadcastReader(a, output.shape), broadcastReader(b, output.shape)];
  return write((i) => binary(readA(i), readB(i)));
}

export function allocate(type: OnnxType, size: number): ConstantData {
  if (type === "float32") return new Float32Array(size);
  if (type === "int64") return new Float64Array(size);
  return type === "int32" ? new Int32Array(size) : new Uint8Array(size);
}

function reader(value: Value): (i: number) => number {
  const { constant } = value;
  if (constant === undefined) throw new Error("reader: not a constant.");
  return constant.kind === "uniform" ? () => constant.value : (i) => constant.data[i] ?? 0;
}

function broadcastReader(value: Value, shape: readonly number[]): (i: number) => number {
  const read = reader(value);
  const offset = shape.length - value.shape.length;
  const strides = stridesOf(value.shape);
  const source = sourceIndex(
    shape,
    shape.map((_, i) => ((value.shape[i - offset] ?? 1) === 1 ? 0 : (strides[i - offset] ?? 0))),
  );
  return (i) => read(source(i));
}

function stridesOf(shape: readonly number[]): number[] {
  const strides: number[] = [];
  for (let i = shape.length - 1, stride = 1; i >= 0; stride *= shape[i] ?? 1, i--) strides[i] = stride;
  return strides;
}

/** Maps a raster index of `shape` to the offset that `strides` give its coordinates. */
function sourceIndex(shape: readonly number[], strides: readonly number[]): (i: number) => number {
  return (i) => {
    let rest = i;
    let offset = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const dim = shape[axis] ?? 1;
      offset += (rest % dim) * (strides[axis] ?? 0);
      rest = Math.floor(rest / dim);
    }
    return offset;
  };
}
