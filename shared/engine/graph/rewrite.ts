/** The frame of every pass: walk the nodes in order, rebuild the graph, let a rule replace a node by something better. */
import { GraphBuilder, type Graph, type Node, type Value } from "./graph.ts";

/** Number of places each value is read, graph outputs included. */
export function countUses(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>();
  const use = (value: Value | undefined): void => {
    if (value !== undefined) uses.set(value, (uses.get(value) ?? 0) + 1);
  };
  for (const node of graph.nodes) node.inputs.forEach(use);
  Object.values(graph.outputs).forEach(use);
  return uses;
}

/** The node each value comes from. */
export function producers(graph: Graph): Map<Value, Node> {
  const map = new Map<Value, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) map.set(output, node);
  return map;
}

/**
 * Rebuilds `graph`. `rule` sees each node with its inputs already rewritten and returns the value that takes the place of its
 * (single) output, or undefined to keep the node. `finish` turns a rewritten value into the one a graph output shall name.
 */
export function rewrite(
  graph: Graph,
  rule: (g: GraphBuilder, node: Node, inputs: readonly (Value | undefined)[]) => Value | undefined,
  finish: (g: GraphBuilder, value: Value) => Value = (_, value) => value,
): Graph {
  const g = new GraphBuilder(graph.symbols);
  Object.assign(g.inputs, graph.inputs);
  const replaced = new Map<Value, Value>();
  const current = (value: Value): Value => replaced.get(value) ?? value;
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => (input === undefined ? undefined : current(input)));
    const [output] = node.outputs;
    const value = rule(g, node, inputs);
    if (value === undefined) g.nodes.push({ ...node, inputs });
    else if (output !== undefined) replaced.set(output, value);
  }
  return g.build(
    Object.fromEntries(Object.entries(graph.outputs).map(([name, value]) => [name, finish(g, current(value))])),
  );
}
