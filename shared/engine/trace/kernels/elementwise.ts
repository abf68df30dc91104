/** Elementwise kernels. */
import type { Value, GraphBuilder } from "../../graph/graph.ts";
import {
  binary,
  cast,
  clip,
  compare,
  extremum,
  not,
  scalar,
  unary,
  where,
  type BinaryOp,
  type ComparisonOp,
  type UnaryOp,
} from "../../graph/operators/elementwise.ts";
import type { tf } from "../../tf.ts";
import { onnxType } from "../types.ts";
import { kernel, type TraceKernel } from "../kernel.ts";

const UNARY: Readonly<Record<string, UnaryOp>> = {
  Abs: "Abs", Ceil: "Ceil", Cos: "Cos", Erf: "Erf", Exp: "Exp", Floor: "Floor", Log: "Log", Neg: "Neg", Reciprocal: "Reciprocal",
  Relu: "Relu", Round: "Round", Sigmoid: "Sigmoid", Sign: "Sign", Sin: "Sin", Softplus: "Softplus", Sqrt: "Sqrt", Tanh: "Tanh",
}; // prettier-ignore

const BINARY: Readonly<Record<string, BinaryOp>> = {
  Add: "Add",
  Sub: "Sub",
  Multiply: "Mul",
  RealDiv: "Div",
  Pow: "Pow",
};

const COMPARISON: Readonly<Record<string, ComparisonOp>> = {
  Equal: "Equal",
  Greater: "Greater",
  GreaterEqual: "GreaterOrEqual",
  Less: "Less",
  LessEqual: "LessOrEqual",
  LogicalAnd: "And",
  LogicalOr: "Or",
};

/** ONNX has no unary operators on int32 for some of these; the float ones cover every use in a model. */
const unaryKernels = Object.entries(UNARY).map(([name, op]) => kernel<"x">(name, (g, { x }) => unary(g, op, x)));
const binaryKernels = Object.entries(BINARY).map(([name, op]) =>
  kernel<"a" | "b">(name, (g, { a, b }) => binary(g, op, a, b)),
);
const comparisonKernels = Object.entries(COMPARISON).map(([name, op]) =>
  kernel<"a" | "b">(name, (g, { a, b }) => compare(g, op, a, b)),
);

function square(g: GraphBuilder, x: Value): Value {
  return binary(g, "Mul", x, x);
}

export const ELEMENTWISE: readonly TraceKernel[] = [
  ...unaryKernels,
  ...binaryKernels,
  ...comparisonKernels,
  kernel<"x">("Identity", (_, { x }) => x),
  kernel<"x">("Square", (g, { x }) => square(g, x)),
  kernel<"x">("Rsqrt", (g, { x }) => unary(g, "Reciprocal", unary(g, "Sqrt", x))),
  kernel<"x">("Log1p", (g, { x }) => unary(g, "Log", binary(g, "Add", x, scalar(g, 1, x)))),
  kernel<"x">("Expm1", (g, { x }) => binary(g, "Sub", unary(g, "Exp", x), scalar(g, 1, x))),
  kernel<"x">("LogicalNot", (g, { x }) => not(g, x)),
  kernel<"x", tf.CastAttrs>("Cast", (g, { x }, { dtype }) => cast(g, x, onnxType(dtype))),
  // step(x) = 1 where x > 0, else alpha.
  kernel<"x", tf.StepAttrs>("Step", (g, { x }, { alpha }) => {
    const positive = compare(g, "Greater", x, scalar(g, 0, x));
    return alpha === 0 ? cast(g, positive, x.type) : where(g, positive, scalar(g, 1, x), scalar(g, alpha, x));
  }),
  kernel<"x", tf.ClipByValueAttrs>("ClipByValue", (g, { x }, attrs) =>
    clip(g, x, attrs.clipValueMin, attrs.clipValueMax),
  ),
  kernel<"a" | "b">("NotEqual", (g, { a, b }) => not(g, compare(g, "Equal", a, b))),
  kernel<"a" | "b">("Maximum", (g, { a, b }) => extremum(g, "Max", a, b)),
  kernel<"a" | "b">("Minimum", (g, { a, b }) => extremum(g, "Min", a, b)),
  kernel<"a" | "b">("SquaredDifference", (g, { a, b }) => square(g, binary(g, "Sub", a, b))),
  kernel<"a" | "b">("FloorDiv", (g, { a, b }) => floorDiv(g, a, b)),
  // TensorFlow's Mod has the divisor's sign: a − b·⌊a / b⌋.
  kernel<"a" | "b">("Mod", (g, { a, b }) => binary(g, "Sub", a, binary(g, "Mul", b, floorDiv(g, a, b)))),
  kernel<"condition" | "t" | "e">("Select", (g, { condition, t, e }) => where(g, condition, t, e)),
  kernel<string>("AddN", (g, inputs) => Object.values(inputs).reduce((a, b) => binary(g, "Add", a, b))),
];

function floorDiv(g: GraphBuilder, a: Value, b: Value): Value {
  const quotient = binary(g, "Div", cast(g, a, "float32"), cast(g, b, "float32"));
  return cast(g, unary(g, "Floor", quotient), a.type);
}
