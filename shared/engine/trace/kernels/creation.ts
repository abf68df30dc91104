/** Kernels that make constants. */
import type { ConstantData } from "../../graph/graph.ts";
import type { tf } from "../../tf.ts";
import { onnxType } from "../types.ts";
import { kernel, type TraceKernel } from "../kernel.ts";

export const CREATION: readonly TraceKernel[] = [
  kernel<never, tf.FillAttrs>("Fill", (g, _, { shape, value, dtype }) => {
    if (typeof value === "string") throw new Error("Fill: strings cannot be recorded.");
    return g.uniform(value, shape, onnxType(dtype));
  }),
  kernel<"x">("ZerosLike", (g, { x }) => g.uniform(0, x.shape, x.type)),
  kernel<"x">("OnesLike", (g, { x }) => g.uniform(1, x.shape, x.type)),
  kernel<never, tf.RangeAttrs>("Range", (g, _, { start, stop, step, dtype }) => {
    const count = Math.max(0, Math.ceil((stop - start) / step));
    const values = Array.from({ length: count }, (_value, i) => start + i * step);
    const data: ConstantData = dtype === "int32" ? Int32Array.from(values) : Float32Array.from(values);
    return g.dense(data, [count], onnxType(dtype));
  }),
];
