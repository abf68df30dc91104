/**
 * Convolution and its two gradients. TensorFlow.js hands over [B,H,W,C] and kernels [kh,kw,C,M]; ONNX wants [B,C,H,W] and
 * [M,C,kh,kw]. Transposes are written down freely here: the layout pass makes them meet and cancel.
 *
 * The gradients avoid ConvTranspose, which runs at half the speed of Conv on CPU: an input gradient of stride 1 is a Conv with the
 * flipped kernel; of stride s it is s² small Convs, one per output phase (sub-pixel convolution: Shi et al. 2016, arXiv:1609.05158). A
 * filter gradient is one batched matrix product per tap.
 */
import { ints, type GraphBuilder, type Value } from "../../graph/graph.ts";
import { conv, matMul, swapLast } from "../../graph/operators/linear.ts";
import { reduce } from "../../graph/operators/reduce.ts";
import {
  concat,
  depthToSpace,
  pad,
  reshape,
  reverse,
  slice,
  spaceToDepth,
  transpose,
} from "../../graph/operators/shape.ts";
import { tf } from "../../tf.ts";
import { kernel, type TraceKernel } from "../kernel.ts";

const TO_NCHW = [0, 3, 1, 2];
const TO_NHWC = [0, 2, 3, 1];

interface Geometry {
  readonly stride: readonly [number, number];
  /** Padding before and after, rows then columns. */
  readonly pads: readonly [readonly [number, number], readonly [number, number]];
}

type ConvAttrs = Pick<tf.Conv2DAttrs, "strides" | "pad" | "dataFormat" | "dimRoundingMode">;

function geometryOf(
  inShape: readonly number[],
  filterShape: readonly number[],
  attrs: ConvAttrs,
  dilations: number | number[] = 1,
): Geometry {
  if (attrs.dataFormat !== "NHWC") throw new Error(`Convolutions are recorded in NHWC, got ${attrs.dataFormat}.`);
  if ([dilations].flat().some((d) => d !== 1)) throw new Error("Dilated convolutions have no recording kernel.");
  const info = tf.backend_util.computeConv2DInfo(
    inShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    attrs.strides,
    1,
    attrs.pad,
    attrs.dimRoundingMode,
  );
  const { top, bottom, left, right } = info.padInfo;
  return { stride: [info.strideHeight, info.strideWidth], pads: [[top, bottom], [left, right]] }; // prettier-ignore
}

const onnxPads = (
  rows: readonly [number, number],
  columns: readonly [number, number],
): [number, number, number, number] => [rows[0], columns[0], rows[1], columns[1]];

export const CONVOLUTION: readonly TraceKernel[] = [
  kernel<"x" | "filter", tf.Conv2DAttrs>("Conv2D", (g, { x, filter }, attrs) => {
    const { stride, pads } = geometryOf(x.shape, filter.shape, attrs, attrs.dilations);
    const y = conv(g, transpose(g, x, TO_NCHW), transpose(g, filter, [3, 2, 0, 1]), {
      strides: stride,
      pads: onnxPads(...pads),
    });
    return transpose(g, y, TO_NHWC);
  }),
  kernel<"dy" | "filter", tf.Conv2DBackpropInputAttrs>("Conv2DBackpropInput", (g, { dy, filter }, attrs) => {
    const geometry = geometryOf(attrs.inputShape, filter.shape, attrs);
    const gradient = inputGradient(g, transpose(g, dy, TO_NCHW), transpose(g, filter, [2, 3, 0, 1]), {
      ...geometry,
      inputShape: attrs.inputShape,
    });
    return transpose(g, gradient, TO_NHWC);
  }),
  kernel<"x" | "dy", tf.Conv2DBackpropFilterAttrs>("Conv2DBackpropFilter", (g, { x, dy }, attrs) => {
    const geometry = geometryOf(x.shape, attrs.filterShape, attrs);
    return filterGradient(g, transpose(g, x, TO_NCHW), transpose(g, dy, TO_NCHW), {
      ...geometry,
      filterShape: attrs.filterShape,
    });
  }),
];

/** How one output phase of an input gradient along one axis reads `dy`. See `inputGradient`. */
interface Phase {
  /** First kernel tap; the others follow at the stride. */
  readonly firstTap: number;
  readonly pads: readonly [number, number];
}

/**
 * dx[s·j + φ] = Σ_t dy[j + e − t] · w[a + s·t] with a = (φ + p) mod s and e = ⌊(φ + p) / s⌋: a stride-1 correlation of dy with the taps
 * a, a + s, … in reverse order.
 */
function phasesOf(size: number, gradientSize: number, taps: number, stride: number, padBefore: number): Phase[] {
  return Array.from({ length: stride }, (_, phase) => {
    const firstTap = (phase + padBefore) % stride;
    const shift = Math.floor((phase + padBefore) / stride);
    const count = Math.ceil((taps - firstTap) / stride);
    return { firstTap, pads: [count - 1 - shift, Math.ceil((size - phase) / stride) + shift - gradientSize] };
  });
}

/** @param dy [B,M,H',W'] @param filter [C,M,kh,kw] @returns [B,C,H,W] */
function inputGradient(
  g: GraphBuilder,
  dy: Value,
  filter: Value,
  geometry: Geometry & { inputShape: readonly number[] },
): Value {
  const { stride, pads, inputShape } = geometry;
  const [, height = 0, width = 0] = inputShape;
  const [channels = 0, filters = 0, kernelHeight = 0, kernelWidth = 0] = filter.shape;
  const rows = phasesOf(height, dy.shape[2] ?? 0, kernelHeight, stride[0], pads[0][0]);
  const columns = phasesOf(width, dy.shape[3] ?? 0, kernelWidth, stride[1], pads[1][0]);
  const regular = stride[0] === stride[1] && height % stride[0] === 0 && width % stride[1] === 0;
  if (!regular || [...rows, ...columns].some((phase) => phase.pads.some((amount) => amount < 0))) {
    return transposedConv(g, dy, filter, geometry);
  }
  const parts = rows.flatMap((row) =>
    columns.map((column) => {
      const taps = slice(
        g,
        filter,
        [0, 0, row.firstTap, column.firstTap],
        [channels, filters, kernelHeight, kernelWidth],
        [1, 1, ...stride],
      );
      const flipped = reverse(
        g,
        taps,
        [2, 3].filter((axis) => (taps.shape[axis] ?? 1) > 1),
      );
      return conv(g, dy, flipped, { strides: [1, 1], pads: onnxPads(row.pads, column.pads) });
    }),
  );
  return parts.length === 1 ? concat(g, parts, 1) : depthToSpace(g, concat(g, parts, 1), stride[0]);
}

/** The general form, for sizes that the strides do not divide. */
function transposedConv(
  g: GraphBuilder,
  dy: Value,
  filter: Value,
  geometry: Geometry & { inputShape: readonly number[] },
): Value {
  const { stride, pads, inputShape } = geometry;
  const [batch = 0, height = 0, width = 0] = inputShape;
  const kernelSize = filter.shape.slice(2);
  const extra = [height, width].map((size, i) => {
    const covered =
      ((dy.shape[i + 2] ?? 0) - 1) * (stride[i] ?? 1) +
      (kernelSize[i] ?? 0) -
      (pads[i]?.[0] ?? 0) -
      (pads[i]?.[1] ?? 0);
    return size - covered;
  });
  return g.node(
    "ConvTranspose",
    [dy, transpose(g, filter, [1, 0, 2, 3])],
    { type: dy.type, shape: [batch, filter.shape[0] ?? 0, height, width] },
    {
      kernel_shape: ints(kernelSize),
      strides: ints(stride),
      pads: ints(onnxPads(...pads)),
      output_padding: ints(extra),
    },
  );
}

/** @param x [B,C,H,W] @param dy [B,M,H',W'] @returns [kh,kw,C,M] */
function filterGradient(
  g: GraphBuilder,
  x: Value,
  dy: Value,
  geometry: Geometry & { filterShape: readonly number[] },
): Value {
  const { stride, pads, filterShape } = geometry;
  const [kernelHeight = 0, kernelWidth = 0, channels = 0, filters = 0] = filterShape;
  const [batch = 0, , outHeight = 0, outWidth = 0] = dy.shape;
  const padded = pad(g, x, [[0, 0], [0, 0], ...pads]); // prettier-ignore
  const size = stride[0];
  const folds =
    size > 1 &&
    stride[1] === size &&
    [kernelHeight, kernelWidth, ...padded.shape.slice(2)].every((n) => n % size === 0);
  // Taps of one residue class modulo the stride sit in channels of their own after space-to-depth: fewer, larger products.
  const source = folds ? spaceToDepth(g, padded, size) : padded;
  const step = folds ? ([1, 1] as const) : stride;
  const flatDy = reshape(g, dy, [batch, filters, outHeight * outWidth]);
  const sourceChannels = source.shape[1] ?? 0;
  const taps: Value[] = [];
  for (let row = 0; row < kernelHeight / (folds ? size : 1); row++) {
    for (let column = 0; column < kernelWidth / (folds ? size : 1); column++) {
      const window = slice(
        g,
        source,
        [0, 0, row, column],
        [batch, sourceChannels, row + (outHeight - 1) * step[0] + 1, column + (outWidth - 1) * step[1] + 1],
        [1, 1, ...step],
      );
      const flat = reshape(g, window, [batch, sourceChannels, outHeight * outWidth]);
      taps.push(reduce(g, "ReduceSum", matMul(g, flat, swapLast(g, flatDy)), [0])); // [C', M]
    }
  }
  const stacked = concat(g, taps, 0); // [taps·C', M]
  if (!folds) return reshape(g, stacked, filterShape);
  const phases = [kernelHeight / size, kernelWidth / size, size, size, channels, filters];
  return reshape(g, transpose(g, reshape(g, stacked, phases), [0, 2, 1, 3, 4, 5]), filterShape);
}
