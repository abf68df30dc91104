/**
 * Weights that a graph cuts, turns and joins before it uses them, as initializers: what the runtime computes when it loads a model, done where the
 * numbers are needed earlier; and which constants a rewritten graph still has. Exact, and knows no convolution.
 */
import { invariant } from "../../errors.ts";
import { sizeOf } from "../../records.ts";
import { ONNX_TYPES, type Initializer, type OnnxModel, type OnnxNode } from "../model.ts";

type Tensor = Omit<Initializer, "name">;

/** Every Slice, Transpose and Concat of constants becomes a constant of the same name; all other nodes stay. */
export function foldConstants(model: OnnxModel): OnnxModel {
  const constants = new Map(model.initializers.map((initializer) => [initializer.name, initializer]));
  const nodes = model.nodes.filter((node) => {
    const inputs = node.inputs.map((input) => constants.get(input));
    const [name = ""] = node.outputs;
    const folded = inputs.every((input) => input !== undefined) ? fold(node, inputs) : undefined;
    if (folded !== undefined) constants.set(name, { ...folded, name });
    return folded === undefined;
  });
  return { ...model, nodes, initializers: [...constants.values()] };
}

/**
 * `model` with these nodes, and of its constants and `added` those that are used. Older files list their constants among the inputs as well: there one that
 * is dropped would become a feed.
 */
export function replaceNodes(model: OnnxModel, nodes: readonly OnnxNode[], added: readonly Initializer[]): OnnxModel {
  const used = new Set([...nodes.flatMap(({ inputs }) => inputs), ...model.outputs.map(({ name }) => name)]);
  const dropped = new Set(model.initializers.filter(({ name }) => !used.has(name)).map(({ name }) => name));
  return {
    ...model,
    inputs: model.inputs.filter(({ name }) => !dropped.has(name)),
    initializers: [...model.initializers, ...added].filter(({ name }) => used.has(name)),
    nodes,
  };
}

/** The numbers of a float32 tensor, whose bytes may lie at any place. */
export function floatsOf({ type, data }: Tensor): Float32Array {
  invariant(type === "float32", `float32 was expected, not ${type}`);
  return new Float32Array(data.slice().buffer);
}

function fold(node: OnnxNode, inputs: readonly Initializer[]): Tensor | undefined {
  const [source, ...rest] = inputs;
  if (source === undefined) return undefined;
  switch (node.op) {
    case "Transpose":
      return transpose(source, node);
    case "Slice":
      return slice(source, rest);
    case "Concat":
      return concat(inputs, node);
    default:
      return undefined;
  }
}

function transpose(source: Tensor, { attributes }: OnnxNode): Tensor | undefined {
  const perm = attributes?.["perm"];
  if (perm?.kind !== "ints") return undefined;
  const axes = perm.value.map((axis) => ({ axis, indices: upTo(source.shape[axis] ?? 0) }));
  return pick(source, axes);
}

/** @param bounds starts, ends, axes and steps, all of them given */
function slice(source: Tensor, bounds: readonly Initializer[]): Tensor | undefined {
  const [starts, ends, axes, steps] = bounds.map(integersOf);
  if (starts === undefined || ends === undefined || axes === undefined || steps === undefined) return undefined;
  const { shape } = source;
  const picks = shape.map((size, axis) => {
    const at = axes.findIndex((given) => (given + shape.length) % shape.length === axis);
    const indices = at < 0 ? upTo(size) : indicesOf(size, [starts[at] ?? 0, ends[at] ?? size, steps[at] ?? 1]);
    return { axis, indices };
  });
  return pick(source, picks);
}

/** Along the first axis, where the bytes follow each other. */
function concat(inputs: readonly Tensor[], { attributes }: OnnxNode): Tensor | undefined {
  const axis = attributes?.["axis"];
  const [first] = inputs;
  if (axis?.kind !== "int" || axis.value !== 0 || first === undefined) return undefined;
  const rows = inputs.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
  const shape = [rows, ...first.shape.slice(1)];
  return { type: first.type, shape, data: new Uint8Array(Buffer.concat(inputs.map(({ data }) => data))) };
}

interface Pick {
  readonly axis: number;
  readonly indices: readonly number[];
}

/** The elements at these indices; the axes in this order. */
function pick({ type, shape, data }: Tensor, picks: readonly Pick[]): Tensor {
  const { bytes } = ONNX_TYPES[type];
  let offsets = [0];
  for (const { axis, indices } of picks) {
    const stride = sizeOf(shape.slice(axis + 1)) * bytes;
    offsets = offsets.flatMap((offset) => indices.map((index) => offset + index * stride));
  }
  const picked = new Uint8Array(offsets.length * bytes);
  for (const [i, offset] of offsets.entries()) picked.set(data.subarray(offset, offset + bytes), i * bytes);
  return { type, shape: picks.map(({ indices }) => indices.length), data: picked };
}

const upTo = (size: number): number[] => Array.from({ length: size }, (_, i) => i);

/** ONNX's rule: negative bounds count from the end, and bounds beyond an end are cut to it. */
function indicesOf(size: number, [start, end, step]: readonly [number, number, number]): number[] {
  const indices: number[] = [];
  const bound = (value: number, least: number, most: number): number =>
    Math.min(most, Math.max(least, value < 0 ? value + size : value));
  if (step > 0) for (let i = bound(start, 0, size); i < bound(end, 0, size); i += step) indices.push(i);
  else for (let i = bound(start, 0, size - 1); i > bound(end, -1, size - 1); i += step) indices.push(i);
  return indices;
}

const integersOf = ({ type, data }: Initializer): number[] | undefined =>
  type === "int64" ? Array.from(new BigInt64Array(data.slice().buffer), Number) : undefined;
