/** Reductions and what is built on them. */
import { int, ints, type GraphBuilder, type Value } from "../graph.ts";

export type Reduction = "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd";

export function reduce(g: GraphBuilder, op: Reduction, x: Value, axes: readonly number[], keepDims = false): Value {
  if (axes.length === 0) return x;
  const shape = x.shape.flatMap((dim, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [dim]));
  const keepdims = int(keepDims ? 1 : 0);
  // Since opset 13 ReduceSum takes its axes as an input, the others (before 18) as an attribute.
  return op === "ReduceSum"
    ? g.node(op, [x, g.int64s(axes)], { type: x.type, shape }, { keepdims })
    : g.node(op, [x], { type: x.type, shape }, { axes: ints(axes), keepdims });
}

/** Index of the first extreme element along `axis`: int64. */
export function argExtremum(g: GraphBuilder, op: "ArgMax" | "ArgMin", x: Value, axis: number): Value {
  const shape = x.shape.filter((_, i) => i !== axis);
  return g.node(op, [x], { type: "int64", shape }, { axis: int(axis), keepdims: int(0) });
}

export const softmax = (g: GraphBuilder, op: "Softmax" | "LogSoftmax", x: Value, axis: number): Value =>
  g.node(op, [x], x, { axis: int(axis) });

export const cumulativeSum = (
  g: GraphBuilder,
  x: Value,
  axis: number,
  mode: { exclusive: boolean; reverse: boolean },
): Value =>
  g.node("CumSum", [x, g.uniform(axis, [], "int64")], x, {
    exclusive: int(mode.exclusive ? 1 : 0),
    reverse: int(mode.reverse ? 1 : 0),
  });
