/** Operators that look elements up by index. */
import { int, type GraphBuilder, type Value } from "../graph.ts";
import { cast } from "./elementwise.ts";

/** Rows of `data` along `axis` named by integer `indices`. */
export function gather(g: GraphBuilder, data: Value, indices: Value, axis: number): Value {
  const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
  return g.node("Gather", [data, indices], { type: data.type, shape }, { axis: int(axis) });
}

/** One element per index along `axis`; `indices` has the result's shape. */
export function gatherElements(g: GraphBuilder, data: Value, indices: Value, axis: number): Value {
  return g.node("GatherElements", [data, indices], { type: data.type, shape: indices.shape }, { axis: int(axis) });
}

/** indices [..] → [.., depth]; `values` = [off, on]. onnxruntime has OneHot for int64 indices only. */
export function oneHot(
  g: GraphBuilder,
  indices: Value,
  depth: number,
  values: readonly [off: number, on: number],
): Value {
  return g.node(
    "OneHot",
    [cast(g, indices, "int64"), g.uniform(depth, [], "int64"), g.dense(Float32Array.from(values), [2], "float32")],
    { type: "float32", shape: [...indices.shape, depth] },
    { axis: int(-1) },
  );
}
