/** Kernels that move elements. */
import { concat, expand, pad, reshape, reverse, slice, tile, transpose } from "../../graph/operators/shape.ts";
import { type Value } from "../../graph/graph.ts";
import { sizeOf } from "../../../records.ts";
import { tf } from "../../tf.ts";
import { kernel, type TraceKernel } from "../kernel.ts";

const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const SHAPE: readonly TraceKernel[] = [
  kernel<"x", tf.ReshapeAttrs>("Reshape", (g, { x }, { shape }) =>
    reshape(g, x, tf.util.inferFromImplicitShape(shape, sizeOf(x.shape))),
  ),
  kernel<"input", tf.ExpandDimsAttrs>("ExpandDims", (g, { input }, { dim }) => {
    const axis = axisOf(dim, input.shape.length + 1);
    return reshape(g, input, [...input.shape.slice(0, axis), 1, ...input.shape.slice(axis)]);
  }),
  kernel<"x", tf.TransposeAttrs>("Transpose", (g, { x }, { perm }) => transpose(g, x, perm)),
  kernel<"x", tf.SliceAttrs>("Slice", (g, { x }, { begin, size }) => {
    const [starts = [], sizes = []] = tf.slice_util.parseSliceParams(
      { shape: [...x.shape] } as tf.TensorInfo,
      begin,
      size,
    );
    return slice(
      g,
      x,
      starts,
      starts.map((start, i) => start + (sizes[i] ?? 0)),
    );
  }),
  kernel<string, tf.ConcatAttrs>("Concat", (g, inputs, { axis }) => {
    const values = Object.values(inputs);
    return concat(g, values, axisOf(axis, values[0]?.shape.length ?? 0));
  }),
  kernel<string, tf.PackAttrs>("Pack", (g, inputs, { axis }) => {
    const rank = (Object.values(inputs)[0]?.shape.length ?? 0) + 1;
    const at = axisOf(axis, rank);
    const expanded = Object.values(inputs).map((x) =>
      reshape(g, x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]),
    );
    return concat(g, expanded, at);
  }),
  kernel<"value", tf.UnpackAttrs>("Unpack", (g, { value }, { axis }) => {
    const at = axisOf(axis, value.shape.length);
    const shape = value.shape.filter((_, i) => i !== at);
    return Array.from({ length: value.shape[at] ?? 0 }, (_, i) => reshape(g, part(g, value, at, i, i + 1), shape));
  }),
  kernel<"x", tf.SplitVAttrs>("SplitV", (g, { x }, { numOrSizeSplits, axis }) => {
    const at = axisOf(axis, x.shape.length);
    let start = 0;
    return splitSizes(x.shape[at] ?? 0, numOrSizeSplits).map((size) => {
      start += size;
      return part(g, x, at, start - size, start);
    });
  }),
  kernel<"x", tf.PadV2Attrs>("PadV2", (g, { x }, { paddings, constantValue }) => pad(g, x, paddings, constantValue)),
  kernel<"x", tf.TileAttrs>("Tile", (g, { x }, { reps }) => tile(g, x, reps)),
  kernel<"x", tf.BroadCastToAttrs>("BroadcastTo", (g, { x }, { shape }) => expand(g, x, shape)),
  kernel<"x", tf.ReverseAttrs>("Reverse", (g, { x }, { dims }) =>
    reverse(g, x, tf.util.parseAxisParam(dims, [...x.shape])),
  ),
];

/** A number of equal parts, or the parts' sizes, of which one may be −1: what the others leave. */
function splitSizes(total: number, parts: number | readonly number[]): number[] {
  if (typeof parts === "number") return Array.from({ length: parts }, () => total / parts);
  const known = parts.filter((size) => size >= 0).reduce((sum, size) => sum + size, 0);
  return parts.map((size) => (size < 0 ? total - known : size));
}

function part(g: Parameters<typeof slice>[0], x: Value, axis: number, start: number, end: number): Value {
  return slice(
    g,
    x,
    x.shape.map((_, i) => (i === axis ? start : 0)),
    x.shape.map((dim, i) => (i === axis ? end : dim)),
  );
}
