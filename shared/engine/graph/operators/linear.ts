/** Products: matrix multiplication and convolution, in ONNX's own layouts. */
import { int, ints, type GraphBuilder, type Value } from "../graph.ts";
import { broadcastShapes } from "./elementwise.ts";
import { transpose } from "./shape.ts";

/** x with its last two axes exchanged. */
export function swapLast(g: GraphBuilder, x: Value): Value {
  const rank = x.shape.length;
  return transpose(g, x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}

/** a [.., m, k] · b [.., k, n] → [.., m, n]. */
export function matMul(g: GraphBuilder, a: Value, b: Value): Value {
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return g.node("MatMul", [a, b], { type: a.type, shape: [...batch, a.shape.at(-2) ?? 0, b.shape.at(-1) ?? 0] });
}

/** a [m, k] · b [k, n] + c [m, n]. */
export function gemm(g: GraphBuilder, a: Value, b: Value, c: Value): Value {
  return g.node("Gemm", [a, b, c], { type: a.type, shape: [a.shape[0] ?? 0, b.shape[1] ?? 0] });
}

export interface ConvGeometry {
  readonly strides: readonly [number, number];
  /** [top, left, bottom, right] */
  readonly pads: readonly [number, number, number, number];
}

/** x [B,C,H,W] * kernel [M,C,kh,kw] (+ bias [M]) → [B,M,H',W']. */
export function conv(g: GraphBuilder, x: Value, kernel: Value, geometry: ConvGeometry, bias?: Value): Value {
  const [batch = 0, , height = 0, width = 0] = x.shape;
  const [filters = 0, , kernelHeight = 0, kernelWidth = 0] = kernel.shape;
  const { strides, pads } = geometry;
  const outHeight = Math.floor((height + pads[0] + pads[2] - kernelHeight) / strides[0]) + 1;
  const outWidth = Math.floor((width + pads[1] + pads[3] - kernelWidth) / strides[1]) + 1;
  return g.node(
    "Conv",
    bias === undefined ? [x, kernel] : [x, kernel, bias],
    { type: x.type, shape: [batch, filters, outHeight, outWidth] },
    {
      kernel_shape: ints([kernelHeight, kernelWidth]),
      strides: ints(strides),
      pads: ints(pads),
      dilations: ints([1, 1]),
      group: int(1),
    },
  );
}
