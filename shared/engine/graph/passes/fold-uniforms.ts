/**
 * Algebra on uniform constants and on broadcasts. The gradient of a mean is `dy · ones(shape) / n`; after this pass it is one
 * scalar, and the tensor it multiplies is read once.
 */
import { sameShape, type Graph, type GraphBuilder, type Node, type Value } from "../graph.ts";
import { sizeOf } from "../../../records.ts";
import { binaryFunction, unaryFunction } from "../arithmetic.ts";
import { expand } from "../operators/shape.ts";
import { rewrite } from "../rewrite.ts";

const uniformValue = (value: Value | undefined): number | undefined =>
  value?.constant?.kind === "uniform" ? value.constant.value : undefined;

const MOVES = new Set(["Reshape", "Transpose", "Slice", "Tile", "Expand", "DepthToSpace", "SpaceToDepth"]);
const BINARY = new Set([
  "Add",
  "Sub",
  "Mul",
  "Div",
  "Pow",
  "Max",
  "Min",
  "Equal",
  "Greater",
  "GreaterOrEqual",
  "Less",
  "LessOrEqual",
]);

export function foldUniforms(graph: Graph): Graph {
  /** Expand nodes made here or met: result → the smaller value it repeats. */
  const sources = new Map<Value, Value>();
  return rewrite(graph, (g, node, inputs) => {
    const [output] = node.outputs;
    const [first, second] = inputs;
    if (output === undefined || first === undefined) return undefined;
    const folded = foldMove(g, node, inputs, output) ?? foldReduction(g, node, inputs, output);
    if (folded !== undefined) return folded;
    const apply = unaryFunction(node);
    if (apply !== undefined && inputs.length === 1) {
      const value = uniformValue(first);
      return value === undefined ? undefined : g.uniform(apply(value), output.shape, output.type);
    }
    if (second !== undefined && inputs.length === 2 && BINARY.has(node.op)) {
      return foldBinary(g, node, [first, second], sources);
    }
    if (node.op === "Where") return foldWhere(g, inputs, output);
    if (node.op === "Expand") {
      const value = expand(g, first, output.shape);
      sources.set(value, first);
      return value;
    }
    return undefined;
  });
}

function foldMove(
  g: GraphBuilder,
  node: Node,
  inputs: readonly (Value | undefined)[],
  output: Value,
): Value | undefined {
  const value = uniformValue(inputs[0]);
  if (value === undefined) return undefined;
  const same = node.op === "Concat" && inputs.every((input) => uniformValue(input) === value);
  const samePad = node.op === "Pad" && uniformValue(inputs[2]) === value;
  return MOVES.has(node.op) || same || samePad ? g.uniform(value, output.shape, output.type) : undefined;
}

function foldReduction(
  g: GraphBuilder,
  node: Node,
  inputs: readonly (Value | undefined)[],
  output: Value,
): Value | undefined {
  const [x] = inputs;
  const value = uniformValue(x);
  if (value === undefined || x === undefined || !node.op.startsWith("Reduce") || node.op === "ReduceProd")
    return undefined;
  const count = node.op === "ReduceSum" ? sizeOf(x.shape) / Math.max(1, sizeOf(output.shape)) : 1;
  return g.uniform(value * count, output.shape, output.type);
}

function foldBinary(
  g: GraphBuilder,
  node: Node,
  operands: readonly [Value, Value],
  sources: Map<Value, Value>,
): Value | undefined {
  const [output] = node.outputs;
  const apply = binaryFunction(node);
  if (output === undefined || apply === undefined) return undefined;
  const [a, b] = operands.map(uniformValue);
  if (a !== undefined && b !== undefined) return g.uniform(apply(a, b), output.shape, output.type);
  const identity = neutral(node.op, a, b);
  if (identity === "zero") return g.uniform(0, output.shape, output.type);
  const kept = identity === "first" ? operands[0] : identity === "second" ? operands[1] : undefined;
  if (kept !== undefined) {
    const value = expand(g, kept, output.shape);
    if (value !== kept) sources.set(value, kept);
    return value;
  }
  const small = foldScalar(g, node, operands, output);
  if (small !== undefined) {
    const value = expand(g, small, output.shape);
    if (value !== small) sources.set(value, small);
    return value;
  }
  const slim = operands.map((operand, i) => slimOperand(g, operand, operands[1 - i], output, sources));
  if (slim[0] === operands[0] && slim[1] === operands[1]) return undefined;
  const shapes = slim.map((operand) => operand.shape);
  // Both operands were broadcasts: compute small, repeat after.
  const full = shapes.some((shape) => sameShape(shape, output.shape));
  const narrow = g.node(
    node.op,
    slim,
    { type: output.type, shape: full ? output.shape : broadcastOf(shapes) },
    node.attributes,
  );
  if (full) return narrow;
  const value = expand(g, narrow, output.shape);
  sources.set(value, narrow);
  return value;
}

/** Which operand a uniform partner leaves unchanged. */
function neutral(op: string, a: number | undefined, b: number | undefined): "first" | "second" | "zero" | undefined {
  if ((op === "Add" && b === 0) || (op === "Sub" && b === 0)) return "first";
  if ((op === "Mul" && b === 1) || (op === "Div" && b === 1) || (op === "Pow" && b === 1)) return "first";
  if ((op === "Add" && a === 0) || (op === "Mul" && a === 1)) return "second";
  return op === "Mul" && (a === 0 || b === 0) ? "zero" : undefined;
}

/** A uniform operand that makes its partner larger: compute on the partner as it is, with a scalar; the caller repeats the result. */
function foldScalar(g: GraphBuilder, node: Node, operands: readonly [Value, Value], output: Value): Value | undefined {
  const at = operands.findIndex((operand) => uniformValue(operand) !== undefined);
  const [uniform, other] = [operands[at], operands[1 - at]];
  const value = uniformValue(uniform);
  if (value === undefined || uniform === undefined || other === undefined || sameShape(other.shape, output.shape))
    return undefined;
  const scalar = g.uniform(value, [], uniform.type);
  return g.node(
    node.op,
    at === 0 ? [scalar, other] : [other, scalar],
    { type: output.type, shape: other.shape },
    node.attributes,
  );
}

/** A smaller stand-in for an operand that the other operand's shape makes redundant. */
function slimOperand(
  g: GraphBuilder,
  operand: Value,
  other: Value | undefined,
  output: Value,
  sources: Map<Value, Value>,
): Value {
  const value = uniformValue(operand);
  const otherSource = other === undefined ? undefined : (sources.get(other) ?? other);
  const free = other !== undefined && (sameShape(other.shape, output.shape) || otherSource !== other);
  if (!free) return operand;
  if (value !== undefined) return operand.shape.length === 0 ? operand : g.uniform(value, [], operand.type);
  const source = sources.get(operand);
  return source === undefined || source.shape.length > operand.shape.length ? operand : source;
}

function broadcastOf(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) =>
    Math.max(...shapes.map((shape) => shape[i - rank + shape.length] ?? 1)),
  );
}

function foldWhere(g: GraphBuilder, inputs: readonly (Value | undefined)[], output: Value): Value | undefined {
  const condition = uniformValue(inputs[0]);
  const chosen = condition === undefined ? undefined : inputs[condition === 0 ? 2 : 1];
  if (chosen !== undefined) return expand(g, chosen, output.shape);
  const slim = inputs.map((input, i) => {
    const value = i === 0 ? undefined : uniformValue(input);
    const others = inputs.some((other, j) => j !== i && other !== undefined && sameShape(other.shape, output.shape));
    return value !== undefined && others && input !== undefined && input.shape.length > 0
      ? g.uniform(value, [], input.type)
      : input;
  });
  return slim.every((value, i) => value === inputs[i]) ? undefined : g.node("Where", slim, output);
}
