/** Operators that look elements up by index. */
import { int, string, type GraphBuilder, type Value } from "../graph.ts";
import { binary, cast, compare, scalar } from "./elementwise.ts";
import { expand, reshape } from "./shape.ts";

/** Rows of `data` along `axis` named by integer `indices`. */
export function gather(g: GraphBuilder, data: Value, indices: Value, axis: number): Value {
  const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
  return g.node("Gather", [data, indices], { type: data.type, shape }, { axis: int(axis) });
}

/** One element per index along `axis`; `indices` has the result's shape. */
export function gatherElements(g: GraphBuilder, data: Value, indices: Value, axis: number): Value {
  return g.node("GatherElements", [data, indices], { type: data.type, shape: indices.shape }, { axis: int(axis) });
}

/**
 * indices [..] → [.., depth]; `values` = [off, on]. A comparison with 0 … depth − 1, which the runtime spreads over threads and its own OneHot not:
 * a tenth of the time.
 */
export function oneHot(
  g: GraphBuilder,
  indices: Value,
  depth: number,
  values: readonly [off: number, on: number],
): Value {
  const ids = g.dense(
    Int32Array.from({ length: depth }, (_, id) => id),
    [depth],
    "int32",
  );
  const rows = reshape(g, cast(g, indices, "int32"), [...indices.shape, 1]);
  const chosen = cast(g, compare(g, "Equal", rows, ids), "float32");
  const [off, on] = values;
  if (off === 0 && on === 1) return chosen;
  return binary(g, "Add", binary(g, "Mul", chosen, scalar(g, on - off, chosen)), scalar(g, off, chosen));
}

/** x [N, D] summed into `count` rows, row n into row indices[n]; in the order of n, on the CPU provider. */
export function scatterAdd(g: GraphBuilder, x: Value, indices: Value, count: number): Value {
  const [rows = 0, width = 0] = x.shape;
  const targets = expand(g, reshape(g, cast(g, indices, "int32"), [rows, 1]), [rows, width]);
  return g.node(
    "ScatterElements",
    [g.uniform(0, [count, width]), targets, x],
    { type: x.type, shape: [count, width] },
    { axis: int(0), reduction: string("add") },
  );
}
