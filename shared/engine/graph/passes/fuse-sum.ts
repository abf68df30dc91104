/** What is added to a product comes into it: one node, and a pass over the result less. */
import { sameShape, type Graph, type Node, type Value } from "../graph.ts";
import { gemm } from "../operators/linear.ts";
import { countUses, rewrite } from "../rewrite.ts";

/**
 * Add(MatMul(a, b), c) → Gemm(a, b, c) where a and b are matrices, c is as large as their product, and nothing else reads the plain one: residual
 * sums. The runtime does so by itself only where no size is open.
 */
export function fuseSum(graph: Graph): Graph {
  const uses = countUses(graph);
  const products = new Map<Value, Node>();
  return rewrite(graph, (g, node, inputs) => {
    const [output] = node.outputs;
    if (output === undefined) return undefined;
    if (node.op === "MatMul" && inputs.every((input) => input?.shape.length === 2) && uses.get(output) === 1)
      products.set(output, { ...node, inputs });
    if (node.op !== "Add" || !inputs.every((input) => input !== undefined && sameShape(input.shape, output.shape)))
      return undefined;
    const at = inputs.findIndex((input) => input !== undefined && products.has(input));
    const [product, other] = [inputs[at], inputs[1 - at]];
    const [a, b] = (product && products.get(product)?.inputs) ?? [];
    return a === undefined || b === undefined || other === undefined ? undefined : gemm(g, a, b, other);
  });
}
