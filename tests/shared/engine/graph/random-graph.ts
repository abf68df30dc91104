/**
 * Small random graphs out of a list of numbers. Every value is a whole number or a short binary fraction, and products and sums are
 * clipped: float32 arithmetic is then exact, and whoever computes the graph in whatever order must get the same bits.
 */
import { GraphBuilder, type Graph, type Value } from "../../../../shared/engine/graph/graph.ts";
import {
  binary,
  broadcastShapes,
  cast,
  clip,
  compare,
  extremum,
  unary,
  where,
} from "../../../../shared/engine/graph/operators/elementwise.ts";
import { conv } from "../../../../shared/engine/graph/operators/linear.ts";
import { reduce } from "../../../../shared/engine/graph/operators/reduce.ts";
import {
  concat,
  expand,
  pad,
  reshape,
  reverse,
  slice,
  tile,
  transpose,
} from "../../../../shared/engine/graph/operators/shape.ts";
import { sizeOf } from "../../../../shared/records.ts";

/** [which operator, which operands, a parameter]: each taken modulo what there is. */
export type Instruction = readonly [operator: number, first: number, second: number, parameter: number];

const LARGEST = 2_000;
const UNIFORMS = [0, 1, -1, 0.5, 2];
const PERMUTATIONS = [[0, 2, 3, 1], [0, 3, 1, 2], [1, 0, 2, 3], [3, 2, 1, 0], [0, 1, 3, 2]] as const; // prettier-ignore

const bounded = (g: GraphBuilder, x: Value): Value => clip(g, x, -8, 8);
const fits = (a: Value, b: Value): boolean => {
  try {
    return sizeOf(broadcastShapes(a.shape, b.shape)) <= LARGEST;
  } catch {
    return false;
  }
};
/** Whole numbers −2 … 2 that differ from place to place. */
const table = (g: GraphBuilder, shape: readonly number[], salt: number): Value =>
  g.dense(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 7 + salt * 3) % 5) - 2),
    shape,
    "float32",
  );

type Operator = (g: GraphBuilder, a: Value, b: Value, parameter: number) => Value | undefined;

const ELEMENTWISE: readonly Operator[] = [
  (g, a, _, parameter) => unary(g, (["Relu", "Neg", "Abs", "Sign"] as const)[parameter % 4] ?? "Relu", a),
  (g, a, b) => (fits(a, b) ? binary(g, "Add", a, b) : undefined),
  (g, a, b) => (fits(a, b) ? binary(g, "Sub", a, b) : undefined),
  (g, a, b) => (fits(a, b) ? bounded(g, binary(g, "Mul", a, b)) : undefined),
  (g, a, b, parameter) => (fits(a, b) ? extremum(g, parameter % 2 === 0 ? "Max" : "Min", a, b) : undefined),
  (g, a, b) => (fits(a, b) ? where(g, compare(g, "Greater", a, g.uniform(0)), a, b) : undefined),
  (g, a, b) => (fits(a, b) ? cast(g, compare(g, "LessOrEqual", a, b), "float32") : undefined),
  (g, a, _, parameter) => binary(g, "Div", a, g.uniform(2 - (parameter % 2), parameter % 3 === 0 ? a.shape : [])),
];

const CONSTANT: readonly Operator[] = [
  (g, a, _, parameter) => g.uniform(UNIFORMS[parameter % UNIFORMS.length] ?? 0, a.shape),
  (g, a, _, parameter) => table(g, a.shape.slice(parameter % (a.shape.length + 1)), parameter),
];

const SHAPE: readonly Operator[] = [
  (g, a, _, parameter) =>
    a.shape.length === 4 ? transpose(g, a, PERMUTATIONS[parameter % PERMUTATIONS.length] ?? []) : undefined,
  (g, a) => transpose(g, a, [...a.shape.keys()].reverse()),
  (g, a, b) => {
    const same = a.shape.length === b.shape.length && a.shape.slice(1).every((dim, i) => dim === b.shape[i + 1]);
    return same && a.shape.length > 0 && sizeOf(a.shape) + sizeOf(b.shape) < LARGEST ? concat(g, [a, b], 0) : undefined;
  },
  (g, a, _, parameter) => {
    const axis = parameter % Math.max(1, a.shape.length);
    if ((a.shape[axis] ?? 0) < 3) return undefined;
    const at = (value: number, elsewhere: number): number[] =>
      a.shape.map((_dim, i) => (i === axis ? value : elsewhere));
    return slice(g, a, at(1, 0), [...a.shape], at(1 + (parameter % 2), 1));
  },
  (g, a, _, parameter) => (a.shape.length > 0 ? reverse(g, a, [parameter % a.shape.length]) : undefined),
  (g, a, _, parameter) => {
    const amounts = a.shape.map((_dim, i) => [i === parameter % a.shape.length ? 1 : 0, 0] as const);
    return sizeOf(a.shape) < LARGEST / 8 ? pad(g, a, amounts, parameter % 2) : undefined;
  },
  (g, a, _, parameter) => reshape(g, a, parameter % 2 === 0 ? [sizeOf(a.shape)] : [1, ...a.shape].slice(-4)),
  (g, a) => (sizeOf(a.shape) < LARGEST / 2 && a.shape.length < 4 ? expand(g, a, [2, ...a.shape]) : undefined),
  (g, a) => {
    const repeats = a.shape.map((_dim, i) => (i === 0 ? 2 : 1));
    return sizeOf(a.shape) < LARGEST / 2 ? tile(g, a, repeats) : undefined;
  },
];

const HEAVY: readonly Operator[] = [
  (g, a, _, parameter) => {
    const op = (["ReduceSum", "ReduceMax", "ReduceMin"] as const)[parameter % 3] ?? "ReduceSum";
    const axes = [...a.shape.keys()].filter((axis) => ((parameter >> 2) & (1 << axis)) !== 0);
    return bounded(g, reduce(g, op, a, axes, (parameter & 64) !== 0));
  },
  // As the recorder writes it: a convolution between two transposes, with bias and ReLU behind.
  (g, a, _, parameter) => {
    const [, height = 0, width = 0, channels = 0] = a.shape;
    if (a.shape.length !== 4 || Math.min(height, width) < 3 || channels > 8) return undefined;
    const size = parameter % 2 === 0 ? 1 : 3;
    const border = (size - 1) / 2;
    const kernel = transpose(g, table(g, [size, size, channels, 3], parameter), [3, 2, 0, 1]);
    const y = conv(g, transpose(g, a, [0, 3, 1, 2]), kernel, {
      strides: [1, 1],
      pads: [border, border, border, border],
    });
    const biased = binary(g, "Add", transpose(g, y, [0, 2, 3, 1]), table(g, [3], parameter));
    return bounded(g, parameter % 3 === 0 ? biased : unary(g, "Relu", biased));
  },
];

const OPERATORS: readonly Operator[] = [...ELEMENTWISE, ...CONSTANT, ...SHAPE, ...HEAVY];

/** Inputs x [2,4,4,3] and b [3]; outputs: the last three values and an input as it came. */
export function randomGraph(instructions: readonly Instruction[]): Graph {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [2, 4, 4, 3]);
  const values: [Value, ...Value[]] = [x, g.input("b", "float32", [3])];
  for (const [operator, first, second, parameter] of instructions) {
    // Later values are the likelier operands: chains grow long.
    const pick = (n: number): Value => values[values.length - 1 - (n % Math.min(values.length, 4))] ?? x;
    const made = OPERATORS[operator % OPERATORS.length]?.(g, pick(first), pick(second), parameter);
    if (made !== undefined && sizeOf(made.shape) <= LARGEST) values.push(made);
  }
  const last = values.slice(-3);
  return g.build({ same: x, ...Object.fromEntries(last.map((value, i) => [`y${i}`, value])) });
}
