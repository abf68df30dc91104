/** Common subexpressions are computed once, reshapes merge, and what no output needs is not computed at all. */
import { type Graph, type Node, type Value } from "../graph.ts";
import { reshape } from "../operators/shape.ts";
import { rewrite } from "../rewrite.ts";

/** Two nodes with the same operator, attributes and inputs are one node. */
export function eliminateCommon(graph: Graph): Graph {
  const name = namer();
  const seen = new Map<string, Value>();
  return rewrite(graph, (g, node, inputs) => {
    const key = `${node.op}(${inputs.map((input) => (input === undefined ? "" : name(input))).join()})${JSON.stringify(node.attributes)}`;
    const known = seen.get(key);
    if (known !== undefined) return known;
    const [output] = node.outputs;
    if (output !== undefined) seen.set(key, output);
    return undefined;
  });
}

/** Names a value; constants with equal content share a name (dense ones only while small). */
function namer(): (value: Value) => string {
  const ids = new Map<object, number>();
  const identity = (object: object): number => {
    const id = ids.get(object) ?? ids.size;
    ids.set(object, id);
    return id;
  };
  return (value) => {
    const { constant } = value;
    if (constant === undefined) return `v${identity(value)}`;
    const form = `${value.type}[${value.shape.join()}]`;
    if (constant.kind === "uniform") return `${form}=${Object.is(constant.value, -0) ? "-0" : constant.value}`;
    return constant.data.length <= 64 ? `${form}{${constant.data.join()}}` : `${form}d${identity(constant.data)}`;
  };
}

/** A reshape of a reshape is one reshape, or none. */
export function mergeReshapes(graph: Graph): Graph {
  const sources = new Map<Value, Value>();
  return rewrite(graph, (g, node, inputs) => {
    const [x] = inputs;
    const [output] = node.outputs;
    if (node.op !== "Reshape" || x === undefined || output === undefined) return undefined;
    const source = sources.get(x) ?? x;
    const merged = source === x ? undefined : reshape(g, source, output.shape);
    sources.set(merged ?? output, source);
    return merged;
  });
}

/** Drops nodes from which no graph output can be reached. */
export function eliminateDead(graph: Graph): Graph {
  const needed = new Set<Value | undefined>(Object.values(graph.outputs));
  const kept: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    node.inputs.forEach((input) => needed.add(input));
    kept.push(node);
  }
  return { ...graph, nodes: kept.reverse() };
}
