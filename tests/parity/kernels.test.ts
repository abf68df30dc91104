/** Every recording kernel against the oracle, forward and, where the op has a gradient, backward. */
import { describe, expect, it } from "vitest";

import type { PureFunction, Signature } from "../../shared/engine/engine.ts";
import { KERNELS } from "../../shared/engine/trace/kernels/index.ts";
import { tf } from "../../shared/engine/tf.ts";
import { stopGradient } from "../../shared/nn/gradients.ts";
import { expectParity } from "./compare.ts";

interface Case {
  readonly kernels: readonly string[];
  readonly fn: PureFunction;
  readonly signature?: Signature;
}

const float = (...shape: number[]) => ({ shape, dtype: "float32" }) as const;
const int = (...shape: number[]) => ({ shape, dtype: "int32" }) as const;
const X: Signature = { x: float(2, 3, 4), y: float(2, 3, 4) };

type Op = (x: tf.Tensor, y: tf.Tensor) => tf.Tensor;

/** The op and its gradients for the first two inputs, weighted so that no two elements have the same one. */
const withGradients =
  (op: Op): PureFunction =>
  (inputs) => {
    const { x, y } = inputs as { x: tf.Tensor; y: tf.Tensor };
    const weigh = (value: tf.Tensor): tf.Scalar =>
      tf.sum(tf.mul(value, tf.cos(tf.reshape(tf.range(0, value.size), value.shape))));
    const [dx, dy] = tf.grads((a: tf.Tensor, b: tf.Tensor) =>
      tf.add(weigh(op(a, b)), tf.mul(0, tf.add(tf.sum(a), tf.sum(b)))),
    )([x, y]);
    return { value: op(x, y), dx: dx as tf.Tensor, dy: dy as tf.Tensor };
  };
const plain =
  (op: (inputs: Record<string, tf.Tensor>) => tf.Tensor): PureFunction =>
  (inputs) => ({ value: op(inputs) });
const positive = (x: tf.Tensor): tf.Tensor => tf.add(tf.square(x), 0.5);
const gradientCase = (kernels: string[], op: Op, signature: Signature = X): Case => ({
  kernels,
  fn: withGradients(op),
  signature,
});

const ELEMENTWISE: readonly Case[] = [
  gradientCase(["Abs"], (x) => tf.abs(x)),
  gradientCase(["Ceil", "Floor", "Round"], (x) => tf.add(tf.ceil(x), tf.mul(tf.floor(x), tf.round(tf.mul(x, 3))))),
  gradientCase(["Cos", "Sin"], (x, y) => tf.mul(tf.cos(x), tf.sin(y))),
  gradientCase(["Erf", "Exp"], (x, y) => tf.mul(tf.erf(x), tf.exp(y))),
  gradientCase(["Log", "Log1p", "Expm1"], (x, y) => tf.add(tf.log(positive(x)), tf.mul(tf.log1p(positive(y)), tf.expm1(x)))),
  gradientCase(["Neg", "Reciprocal", "Sign"], (x, y) => tf.add(tf.neg(x), tf.add(tf.sign(y), tf.reciprocal(positive(y))))),
  gradientCase(["Relu", "Step"], (x, y) => tf.mul(tf.relu(x), tf.step(y, 0.25))),
  gradientCase(["Sigmoid", "Softplus", "Tanh"], (x, y) => tf.mul(tf.sigmoid(x), tf.add(tf.softplus(y), tf.tanh(x)))),
  gradientCase(["Sqrt", "Rsqrt", "Square"], (x, y) => tf.add(tf.sqrt(positive(x)), tf.rsqrt(positive(tf.square(y))))),
  gradientCase(["Add", "Sub", "Multiply", "RealDiv"], (x, y) => tf.div(tf.mul(tf.add(x, 2), tf.sub(y, x)), positive(y))),
  gradientCase(["Add", "Multiply"], (x, y) => tf.mul(tf.add(x, y), y), { x: float(2, 3, 4), y: float(4) }),
  gradientCase(["Pow"], (x, y) => tf.pow(positive(x), y)),
  gradientCase(["Maximum", "Minimum", "SquaredDifference"], (x, y) => tf.mul(tf.maximum(x, y), tf.squaredDifference(tf.minimum(x, 0.1), y))),
  gradientCase(["ClipByValue", "AddN"], (x, y) => tf.addN([tf.clipByValue(x, -0.5, 0.7), y, x])),
  gradientCase(["Select", "Greater", "GreaterEqual", "LogicalAnd"], (x, y) => tf.where(stopGradient(tf.logicalAnd(tf.greater(x, y), tf.greaterEqual(x, 0))), x, tf.mul(y, 2))),
  { kernels: ["Equal", "NotEqual", "Less", "LessEqual", "LogicalOr", "LogicalNot", "Cast", "FloorDiv", "Mod"],
    signature: { a: int(3, 5), b: int(3, 5) },
    fn: plain(({ a, b }) => {
      const [x, y] = [a as tf.Tensor, tf.add(b as tf.Tensor, 1)];
      const bits = [tf.equal(x, y), tf.notEqual(x, y), tf.less(x, y), tf.lessEqual(x, y), tf.logicalNot(tf.logicalOr(tf.less(x, y), tf.equal(y, 3)))];
      const ints = [tf.floorDiv(x, y), tf.mod(x, y)];
      return tf.stack([...bits.map((bit) => tf.cast(bit, "float32")), ...ints.map((value) => tf.cast(value, "float32"))]);
    }) },
]; // prettier-ignore

const REDUCTION: readonly Case[] = [
  gradientCase(["Sum", "Mean"], (x, y) => tf.add(tf.sum(x, [0, 2]), tf.mean(y, [0, 2]))),
  gradientCase(["Max", "Min"], (x, y) => tf.add(tf.max(x, 1, true), tf.min(y, 1, true))),
  { kernels: ["Prod", "All", "Any"], signature: X, fn: plain(({ x }) => tf.concat([tf.reshape(tf.prod(x as tf.Tensor, 1), [-1]), tf.cast(tf.reshape(tf.all(tf.greater(x as tf.Tensor, -1), 2), [-1]), "float32"), tf.cast(tf.reshape(tf.any(tf.greater(x as tf.Tensor, 1), 2), [-1]), "float32")])) },
  { kernels: ["ArgMax", "ArgMin"], signature: X, fn: (inputs) => ({ max: tf.argMax(inputs["x"] as tf.Tensor, 1), min: tf.argMin(inputs["x"] as tf.Tensor, -1) }) },
  gradientCase(["Softmax", "LogSoftmax"], (x, y) => tf.mul(tf.softmax(x), tf.logSoftmax(y))),
  gradientCase(["Cumsum"], (x) => tf.cumsum(x, 2, true)),
  gradientCase(["BatchMatMul"], (x, y) => tf.matMul(x, y, false, true)),
  gradientCase(["BatchMatMul"], (x, y) => tf.matMul(x, y, true, false)),
]; // prettier-ignore

const SHAPE: readonly Case[] = [
  gradientCase(["Reshape", "Transpose"], (x, y) => tf.mul(tf.transpose(x, [2, 0, 1]), tf.reshape(y, [4, 2, 3]))),
  gradientCase(["ExpandDims", "Tile"], (x, y) => tf.mul(tf.tile(tf.expandDims(x, 1), [1, 2, 1, 1]), tf.expandDims(y, 1))),
  gradientCase(["Slice", "Concat"], (x, y) => tf.concat([tf.slice(x, [0, 1, 0], [2, 2, -1]), y], 1)),
  gradientCase(["Pack", "Unpack"], (x, y) => tf.stack([...tf.unstack(x, 1), ...tf.unstack(y, 1)], -1)),
  gradientCase(["SplitV"], (x, y) => tf.concat([...tf.split(x, [1, 3], 2), ...tf.split(y, 2, 0).map((part) => tf.tile(part, [2, 1, 1]))], 2)),
  gradientCase(["PadV2", "Reverse"], (x, y) => tf.mul(tf.pad(x, [[0, 1], [2, 0], [0, 0]]), tf.pad(tf.reverse(y, [1, 2]), [[1, 0], [1, 1], [0, 0]]))),
  { kernels: ["BroadcastTo"], signature: { x: float(3, 1) }, fn: plain(({ x }) => tf.broadcastTo(x as tf.Tensor, [2, 3, 4])) },
]; // prettier-ignore

const indices = (inputs: Record<string, tf.Tensor>): tf.Tensor1D => inputs["i"] as tf.Tensor1D;
const INDEXING: readonly Case[] = [
  { kernels: ["GatherV2", "UnsortedSegmentSum"], signature: { x: float(5, 3), i: int(7) }, fn: (inputs) => {
      const x = inputs["x"] as tf.Tensor2D;
      const look = (table: tf.Tensor): tf.Tensor => tf.square(tf.gather(table, indices(inputs)));
      return { value: look(x), gradient: tf.grad((table: tf.Tensor) => tf.sum(look(table)))(x), sums: tf.unsortedSegmentSum(look(x), indices(inputs), 6) };
    } },
  { kernels: ["UnsortedSegmentSum"], signature: { x: float(7, 3), wide: float(7, 5), i: int(7) }, fn: (inputs) => ({
      narrow: tf.unsortedSegmentSum(inputs["x"] as tf.Tensor2D, indices(inputs), 6),
      many: tf.unsortedSegmentSum(inputs["wide"] as tf.Tensor2D, indices(inputs), 1500),
    }) },
  { kernels: ["OneHot"], signature: { i: int(7) }, fn: plain((inputs) => tf.cast(tf.oneHot(indices(inputs), 5, 2, -1), "float32")) },
  { kernels: ["Fill", "ZerosLike", "OnesLike", "Range", "Identity"], signature: { x: float(6) }, fn: plain(({ x }) => {
      const value = x as tf.Tensor;
      return tf.addN([tf.fill([6], 3), tf.zerosLike(value), tf.onesLike(value), tf.mul(value, tf.range(0, 6)), tf.clone(value)]);
    }) },
]; // prettier-ignore

const conv = (stride: number, pad: number | "same" | "valid") => (x: tf.Tensor, w: tf.Tensor): tf.Tensor =>
  tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, typeof pad === "number" ? [[0, 0], [pad, pad], [pad, pad], [0, 0]] : pad); // prettier-ignore
const transposed =
  (stride: number, pad: number) =>
  (x: tf.Tensor, w: tf.Tensor): tf.Tensor => {
    const [b = 0, h = 0, width = 0] = x.shape;
    const [k = 0] = w.shape;
    const size = (n: number): number => (n - 1) * stride - 2 * pad + k;
    return tf.conv2dTranspose(x as tf.Tensor4D, w as tf.Tensor4D, [b, size(h), size(width), w.shape[2] ?? 0], stride, [[0, 0], [pad, pad], [pad, pad], [0, 0]]); // prettier-ignore
  };
const CONVOLUTION: readonly Case[] = [
  ["3×3 stride 1", conv(1, 1), float(2, 6, 6, 3), float(3, 3, 3, 5)],
  ["3×3 stride 1, fewer filters", conv(1, 1), float(2, 6, 4, 5), float(3, 3, 5, 3)],
  ["3×3 unpadded, fewer filters", conv(1, "valid"), float(2, 6, 5, 4), float(3, 3, 4, 2)],
  ["2×4 same, fewer filters", conv(1, "same"), float(2, 5, 6, 4), float(2, 4, 4, 2)],
  ["1×1 padded, fewer filters", conv(1, 1), float(2, 3, 3, 4), float(1, 1, 4, 2)],
  ["4×4 stride 2", conv(2, 1), float(2, 8, 6, 3), float(4, 4, 3, 5)],
  ["1×1", conv(1, 0), float(2, 5, 4, 3), float(1, 1, 3, 5)],
  ["3×3 stride 2, odd size", conv(2, 1), float(2, 7, 7, 3), float(3, 3, 3, 4)],
  ["3×3 stride 2, same", conv(2, "same"), float(2, 8, 8, 3), float(3, 3, 3, 4)],
  ["5×5 stride 2", conv(2, 2), float(2, 8, 8, 3), float(5, 5, 3, 4)],
  ["2×2 stride 3", conv(3, "valid"), float(1, 9, 9, 2), float(2, 2, 2, 4)],
  ["transposed 4×4 stride 2", transposed(2, 1), float(2, 4, 3, 5), float(4, 4, 3, 5)],
  ["transposed 3×3 stride 1", transposed(1, 1), float(2, 4, 5, 5), float(3, 3, 3, 5)],
].map(([, op, x, y]) => gradientCase(["Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"], op as Op, { x, y } as Signature)); // prettier-ignore

describe.each(Object.entries({ ELEMENTWISE, REDUCTION, SHAPE, INDEXING, CONVOLUTION }))(
  "%s kernels, onnx = oracle",
  (_, cases) => {
    it.each(cases.map((entry, i) => [`${entry.kernels.join(", ")} #${i}`, entry] as const))(
      "%s",
      async (_name, entry) => {
        await expectParity(entry.fn, entry.signature ?? X);
      },
    );
  },
);

describe("the kernel table", () => {
  it("names every kernel in some case", () => {
    const tested = new Set(
      [...ELEMENTWISE, ...REDUCTION, ...SHAPE, ...INDEXING, ...CONVOLUTION].flatMap(({ kernels }) => kernels),
    );
    expect(KERNELS.map(({ name }) => name).filter((name) => !tested.has(name))).toEqual([]);
  });
});
