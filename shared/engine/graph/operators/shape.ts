/** One function per ONNX operator that moves elements without computing on them. */
import { int, ints, sameShape, type GraphBuilder, type Value } from "../graph.ts";
import { sizeOf } from "../../../records.ts";

export function reshape(g: GraphBuilder, x: Value, shape: readonly number[]): Value {
  if (sameShape(x.shape, shape)) return x;
  if (sizeOf(x.shape) !== sizeOf(shape)) throw new Error(`Cannot reshape [${x.shape.join()}] to [${shape.join()}].`);
  return g.node("Reshape", [x, g.int64s(shape)], { type: x.type, shape });
}

export function transpose(g: GraphBuilder, x: Value, perm: readonly number[]): Value {
  if (perm.every((axis, i) => axis === i)) return x;
  return g.node(
    "Transpose",
    [x],
    { type: x.type, shape: perm.map((axis) => x.shape[axis] ?? 0) },
    { perm: ints(perm) },
  );
}

/** Elements starts[i] … ends[i] (exclusive) of each axis i, every steps[i]-th. */
export function slice(
  g: GraphBuilder,
  x: Value,
  starts: readonly number[],
  ends: readonly number[],
  steps: readonly number[] = starts.map(() => 1),
): Value {
  const shape = starts.map((start, i) => Math.max(0, Math.ceil(((ends[i] ?? 0) - start) / (steps[i] ?? 1))));
  const axes = x.shape.flatMap((dim, i) => (starts[i] === 0 && ends[i] === dim && steps[i] === 1 ? [] : [i]));
  if (axes.length === 0) return x;
  const pick = (values: readonly number[]): Value => g.int64s(axes.map((axis) => values[axis] ?? 0));
  return g.node("Slice", [x, pick(starts), pick(ends), g.int64s(axes), pick(steps)], { type: x.type, shape });
}

/** x reversed along `axes`. */
export function reverse(g: GraphBuilder, x: Value, axes: readonly number[]): Value {
  if (axes.length === 0) return x;
  const all = (value: number): Value => g.int64s(axes.map(() => value));
  return g.node("Slice", [x, all(-1), all(-(2 ** 31)), g.int64s(axes), all(-1)], x);
}

export function concat(g: GraphBuilder, values: readonly Value[], axis: number): Value {
  const [first] = values;
  if (first === undefined) throw new Error("concat: needs at least one value.");
  if (values.length === 1) return first;
  const shape = first.shape.map((dim, i) => (i === axis ? values.reduce((sum, v) => sum + (v.shape[i] ?? 0), 0) : dim));
  return g.node("Concat", values, { type: first.type, shape }, { axis: int(axis) });
}

/** @param pads [before, after] of each axis */
export function pad(g: GraphBuilder, x: Value, pads: readonly (readonly [number, number])[], value = 0): Value {
  if (pads.every(([before, after]) => before === 0 && after === 0)) return x;
  const amounts = g.int64s([...pads.map(([before]) => before), ...pads.map(([, after]) => after)]);
  const shape = x.shape.map((dim, i) => dim + (pads[i]?.[0] ?? 0) + (pads[i]?.[1] ?? 0));
  return g.node("Pad", [x, amounts, g.uniform(value, [], x.type)], { type: x.type, shape });
}

export function tile(g: GraphBuilder, x: Value, repeats: readonly number[]): Value {
  if (repeats.every((n) => n === 1)) return x;
  return g.node("Tile", [x, g.int64s(repeats)], {
    type: x.type,
    shape: x.shape.map((dim, i) => dim * (repeats[i] ?? 1)),
  });
}

export function expand(g: GraphBuilder, x: Value, shape: readonly number[]): Value {
  if (sameShape(x.shape, shape)) return x;
  return g.node("Expand", [x, g.int64s(shape)], { type: x.type, shape });
}

/**
 * [B, C·s², H, W] → [B, C, H·s, W·s]; channel order (s, s, C). Two transposes that each move one axis, which the runtime does in a third of the
 * time of its own DepthToSpace.
 */
export function depthToSpace(g: GraphBuilder, x: Value, blockSize: number): Value {
  const [b = 0, depth = 0, h = 0, w = 0] = x.shape;
  const c = depth / blockSize ** 2;
  const columns = transpose(g, reshape(g, x, [b * blockSize, blockSize, c * h * w]), [0, 2, 1]);
  const rows = transpose(g, reshape(g, columns, [b, blockSize, c * h, w * blockSize]), [0, 2, 1, 3]);
  return reshape(g, rows, [b, c, h * blockSize, w * blockSize]);
}

/** [B, C, H, W] → [B, C·s², H/s, W/s]; channel order (s, s, C): `depthToSpace` backwards. */
export function spaceToDepth(g: GraphBuilder, x: Value, blockSize: number): Value {
  const [b = 0, c = 0, height = 0, width = 0] = x.shape;
  const [h, w] = [height / blockSize, width / blockSize];
  const rows = transpose(g, reshape(g, x, [b, c * h, blockSize, width]), [0, 2, 1, 3]);
  const columns = transpose(g, reshape(g, rows, [b * blockSize, c * h * w, blockSize]), [0, 2, 1]);
  return reshape(g, columns, [b, c * blockSize ** 2, h, w]);
}
