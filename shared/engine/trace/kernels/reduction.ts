/** Reductions, softmax and matrix products. */
import { cast } from "../../graph/operators/elementwise.ts";
import { matMul, swapLast } from "../../graph/operators/linear.ts";
import { argExtremum, cumulativeSum, reduce, softmax, type Reduction } from "../../graph/operators/reduce.ts";
import { tf } from "../../tf.ts";
import { kernel, type TraceKernel } from "../kernel.ts";

const REDUCTIONS: Readonly<Record<string, Reduction>> = {
  Sum: "ReduceSum",
  Mean: "ReduceMean",
  Max: "ReduceMax",
  Min: "ReduceMin",
  Prod: "ReduceProd",
};

/** Max names its axes differently from its siblings. */
type ReduceAttrs = tf.SumAttrs & Partial<tf.MaxAttrs>;

const reductionKernels = Object.entries(REDUCTIONS).map(([name, op]) =>
  kernel<"x", ReduceAttrs>(name, (g, { x }, { axis, reductionIndices, keepDims }) => {
    const axes = tf.util.parseAxisParam(reductionIndices ?? axis, [...x.shape]);
    // Sums of bool count; sums of int32 stay int32.
    return reduce(g, op, x.type === "bool" ? cast(g, x, "int32") : x, axes, keepDims);
  }),
);

/** All and Any of bools as minimum and maximum of 0/1. */
const logicalKernels = (["All", "Any"] as const).map((name) =>
  kernel<"x", ReduceAttrs>(name, (g, { x }, { axis, keepDims }) => {
    const axes = tf.util.parseAxisParam(axis, [...x.shape]);
    return cast(g, reduce(g, name === "All" ? "ReduceMin" : "ReduceMax", cast(g, x, "int32"), axes, keepDims), "bool");
  }),
);

const argKernels = (["ArgMax", "ArgMin"] as const).map((name) =>
  kernel<"x", tf.ArgMaxAttrs>(name, (g, { x }, { axis }) => {
    const [index = 0] = tf.util.parseAxisParam(axis, [...x.shape]);
    return cast(g, argExtremum(g, name, x, index), "int32");
  }),
);

export const REDUCTION: readonly TraceKernel[] = [
  ...reductionKernels,
  ...logicalKernels,
  ...argKernels,
  kernel<"logits", tf.SoftmaxAttrs>("Softmax", (g, { logits }, { dim }) => softmax(g, "Softmax", logits, dim)),
  kernel<"logits", tf.LogSoftmaxAttrs>("LogSoftmax", (g, { logits }, { axis }) =>
    softmax(g, "LogSoftmax", logits, axis),
  ),
  kernel<"x", tf.CumsumAttrs>("Cumsum", (g, { x }, attrs) => cumulativeSum(g, x, attrs.axis, attrs)),
  kernel<"a" | "b", tf.BatchMatMulAttrs>("BatchMatMul", (g, { a, b }, { transposeA, transposeB }) => {
    // aᵀ·b = (bᵀ·a)ᵀ: the runtime is quicker where the wider of two tall operands is the one it has to turn (weight gradients).
    const tall = a.shape.length === 2 && transposeA && !transposeB;
    if (tall && (a.shape[1] ?? 0) < (b.shape[1] ?? 0)) return swapLast(g, matMul(g, swapLast(g, b), a));
    return matMul(g, transposeA ? swapLast(g, a) : a, transposeB ? swapLast(g, b) : b);
  }),
];
