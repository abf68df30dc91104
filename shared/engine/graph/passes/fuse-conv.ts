/** Conv + bias, and the shape of ReLU's gradient: what lets the runtime keep a convolution, its bias and its ReLU in one kernel. */
import { type Graph, type Node, type Value } from "../graph.ts";
import { reshape } from "../operators/shape.ts";
import { countUses, producers, rewrite } from "../rewrite.ts";

const isZero = (value: Value | undefined): boolean => value?.constant?.kind === "uniform" && value.constant.value === 0;

/** Add(Conv(x, w), bias [1,M,1,1]) → Conv(x, w, bias) where nothing else reads the plain convolution. */
export function fuseBias(graph: Graph): Graph {
  const uses = countUses(graph);
  const plain = new Map<Value, Node>();
  return rewrite(graph, (g, node, inputs) => {
    const [output] = node.outputs;
    if (output === undefined) return undefined;
    if (node.op === "Conv" && inputs.length === 2 && uses.get(output) === 1) {
      plain.set(output, { ...node, inputs });
      return undefined;
    }
    if (node.op !== "Add") return undefined;
    const conv = inputs.map((input) => (input === undefined ? undefined : plain.get(input)));
    const position = conv.findIndex((candidate) => candidate !== undefined);
    const bias = inputs[1 - position];
    const source = conv[position];
    const filters = output.shape[1] ?? 0;
    if (source === undefined || bias === undefined || bias.shape.join() !== `1,${filters},1,1`) return undefined;
    return g.node("Conv", [...source.inputs, reshape(g, bias, [filters])], output, source.attributes);
  });
}

/** Greater(x, 0) → Greater(Relu(x), 0) where the ReLU is computed anyway: then x has one reader and can be fused away. */
export function reuseRelu(graph: Graph): Graph {
  const relus = new Map<Value, Value>();
  for (const node of graph.nodes) {
    const [input] = node.inputs;
    const [output] = node.outputs;
    if (node.op === "Relu" && input !== undefined && output !== undefined && !relus.has(input))
      relus.set(input, output);
  }
  const origin = producers(graph);
  const seen = new Set<Node>();
  return rewrite(graph, (g, node, inputs) => {
    seen.add(node);
    const [original] = node.inputs;
    const relu = original === undefined ? undefined : relus.get(original);
    const made = relu === undefined ? undefined : origin.get(relu);
    if (node.op !== "Greater" || relu === undefined || made === undefined || !seen.has(made) || !isZero(inputs[1]))
      return undefined;
    const [output] = node.outputs;
    return output === undefined ? undefined : g.node("Greater", [relu, inputs[1]], output);
  });
}
