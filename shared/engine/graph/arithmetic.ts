/** What elementwise operators compute, on numbers: the arithmetic of constant folding. */
import type { BinaryOp, ComparisonOp, UnaryOp } from "./operators/elementwise.ts";
import type { Node } from "./graph.ts";

const UNARY: Readonly<Partial<Record<UnaryOp, (x: number) => number>>> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Cos: Math.cos,
  Exp: Math.exp,
  Floor: Math.floor,
  Log: Math.log,
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Relu: (x) => Math.max(0, x),
  Sign: Math.sign,
  Sin: Math.sin,
  Sqrt: Math.sqrt,
  Tanh: Math.tanh,
};

const BINARY: Readonly<Partial<Record<BinaryOp | ComparisonOp | "Max" | "Min", (a: number, b: number) => number>>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Pow: (a, b) => a ** b,
  Max: Math.max,
  Min: Math.min,
  Equal: (a, b) => Number(a === b),
  Greater: (a, b) => Number(a > b),
  GreaterOrEqual: (a, b) => Number(a >= b),
  Less: (a, b) => Number(a < b),
  LessOrEqual: (a, b) => Number(a <= b),
};

/** The function a node applies to each element, or undefined where folding it is not worth a line. */
export function unaryFunction(node: Node): ((x: number) => number) | undefined {
  const [output] = node.outputs;
  if (node.op === "Not") return (x) => 1 - x;
  if (node.op !== "Cast") return (UNARY as Readonly<Record<string, (x: number) => number>>)[node.op];
  if (output?.type === "float32") return Math.fround;
  return output?.type === "bool" ? (x) => Number(x !== 0) : Math.trunc;
}

export function binaryFunction(node: Node): ((a: number, b: number) => number) | undefined {
  if (node.op === "Div") return node.outputs[0]?.type === "float32" ? (a, b) => a / b : (a, b) => Math.trunc(a / b);
  return (BINARY as Readonly<Record<string, (a: number, b: number) => number>>)[node.op];
}
