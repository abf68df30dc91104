/** One function per elementwise ONNX operator (opset 17): shapes broadcast as in NumPy. */
import { float, int, type GraphBuilder, type Value } from "../graph.ts";
import { ONNX_TYPES, type OnnxType } from "../../../onnx/model.ts";

export function broadcastShapes(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new Error(`Shapes [${a.join()}] and [${b.join()}] do not broadcast.`);
    return x === 1 ? y : x;
  });
}

/** Operators of one operand that keep shape and type. */
export const UNARY = [
  "Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt", "Tanh",
] as const; // prettier-ignore
export type UnaryOp = (typeof UNARY)[number];

/** Operators of two operands that keep the operands' type. */
export const BINARY = ["Add", "Sub", "Mul", "Div", "Pow", "Mod"] as const;
export type BinaryOp = (typeof BINARY)[number];
/** Operators of two operands that give a bool. */
export const COMPARISON = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or"] as const;
export type ComparisonOp = (typeof COMPARISON)[number];

export const unary = (g: GraphBuilder, op: UnaryOp, x: Value): Value => g.node(op, [x], x);

export const binary = (g: GraphBuilder, op: BinaryOp, a: Value, b: Value): Value =>
  g.node(
    op,
    [a, b],
    { type: a.type, shape: broadcastShapes(a.shape, b.shape) },
    op === "Mod" && a.type === "float32" ? { fmod: int(1) } : {},
  );

export const compare = (g: GraphBuilder, op: ComparisonOp, a: Value, b: Value): Value =>
  g.node(op, [a, b], { type: "bool", shape: broadcastShapes(a.shape, b.shape) });

export const not = (g: GraphBuilder, x: Value): Value => g.node("Not", [x], x);

/** Max and Min are variadic in ONNX; two operands here. */
export const extremum = (g: GraphBuilder, op: "Max" | "Min", a: Value, b: Value): Value =>
  g.node(op, [a, b], { type: a.type, shape: broadcastShapes(a.shape, b.shape) });

export const where = (g: GraphBuilder, condition: Value, a: Value, b: Value): Value =>
  g.node("Where", [condition, a, b], {
    type: a.type,
    shape: broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape)),
  });

export const cast = (g: GraphBuilder, x: Value, type: OnnxType): Value =>
  x.type === type ? x : g.node("Cast", [x], { type, shape: x.shape }, { to: int(ONNX_TYPES[type].code) });

export const clip = (g: GraphBuilder, x: Value, min: number, max: number): Value =>
  g.node("Clip", [x, g.uniform(min, [], x.type), g.uniform(max, [], x.type)], x);

export const leakyRelu = (g: GraphBuilder, x: Value, alpha: number): Value =>
  g.node("LeakyRelu", [x], x, { alpha: float(alpha) });

/** A value, or the same as a scalar of the type asked for. */
export const scalar = (g: GraphBuilder, value: number, like: Value): Value => g.uniform(value, [], like.type);
