/**
 * Convolution and its two gradients. TensorFlow.js hands over [B,H,W,C] and kernels [kh,kw,C,M]; ONNX wants [B,C,H,W] and
 * [M,C,kh,kw]. Transposes are written down freely here: the layout pass makes them meet and cancel.
 *
 * The gradients avoid ConvTranspose, which runs at half the speed of Conv on CPU: an input gradient of stride 1 is a Conv with the
 * flipped kernel; of stride s it is one Conv with s² groups of filters, one per output phase (sub-pixel convolution: Shi et al. 2016,
 * arXiv:1609.05158). A filter gradient is one batched matrix product per tap.
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
  /** Padding of `dy`, before and after, that gives this phase alone. */
  readonly pads: readonly [number, number];
}

/**
 * dx[s·j + φ] = Σ_t dy[j + e − t] · w[a + s·t] with a = (φ + p) mod s and e = ⌊(φ + p) / s⌋: a stride-1 correlation of dy with the taps
 * a, a + s, … in reverse order.
 *
 * @param taps a multiple of the stride, so that all phases have as many
 */
function phasesOf(size: number, gradientSize: number, taps: number, stride: number, padBefore: number): Phase[] {
  return Array.from({ length: stride }, (_, phase) => {
    const firstTap = (phase + padBefore) % stride;
    const shift = Math.floor((phase + padBefore) / stride);
    return { firstTap, pads: [taps / stride - 1 - shift, size / stride + shift - gradientSize] };
  });
}

/** Padding under which every phase's part of `dy` is read. */
const widestPads = (phases: readonly Phase[]): readonly [number, number] => [
  Math.max(...phases.map(({ pads }) => pads[0])),
  Math.max(...phases.map(({ pads }) => pads[1])),
];

/**
 * One Conv for all phases, each with filters of its own, over the widest padding; a phase's map begins where its own padding would.
 *
 * @param dy [B,M,H',W'] @param filter [C,M,kh,kw] @returns [B,C,H,W]
 */
function inputGradient(
  g: GraphBuilder,
  dy: Value,
  filter: Value,
  geometry: Geometry & { inputShape: readonly number[] },
): Value {
  const { stride, pads, inputShape } = geometry;
  const [batch = 0, height = 0, width = 0] = inputShape;
  const [channels = 0, filters = 0, kernelHeight = 0, kernelWidth = 0] = filter.shape;
  const taps = [roundUp(kernelHeight, stride[0]), roundUp(kernelWidth, stride[1])] as const;
  const rows = phasesOf(height, dy.shape[2] ?? 0, taps[0], stride[0], pads[0][0]);
  const columns = phasesOf(width, dy.shape[3] ?? 0, taps[1], stride[1], pads[1][0]);
  const outer = [widestPads(rows), widestPads(columns)] as const;
  const regular = stride[0] === stride[1] && height % stride[0] === 0 && width % stride[1] === 0;
  if (!regular || outer.flat().some((amount) => amount < 0)) return transposedConv(g, dy, filter, geometry);
  const whole = pad(g, filter, [[0, 0], [0, 0], [0, taps[0] - kernelHeight], [0, taps[1] - kernelWidth]]); // prettier-ignore
  const phases = rows.flatMap((row) => columns.map((column) => [row, column] as const));
  const kernels = phases.map(([row, column]) => {
    const own = slice(g, whole, [0, 0, row.firstTap, column.firstTap], [channels, filters, ...taps], [1, 1, ...stride]);
    return reverse(
      g,
      own,
      [2, 3].filter((axis) => (own.shape[axis] ?? 1) > 1),
    );
  });
  const maps = conv(g, dy, concat(g, kernels, 0), { strides: [1, 1], pads: onnxPads(...outer) }); // [B, s²·C, ≥ H/s, ≥ W/s]
  const size = [height / stride[0], width / stride[1]] as const;
  const parts = phases.map(([row, column], i) => {
    const [top, left] = [outer[0][0] - row.pads[0], outer[1][0] - column.pads[0]];
    return slice(g, maps, [0, i * channels, top, left], [batch, (i + 1) * channels, top + size[0], left + size[1]]);
  });
  return stride[0] === 1 ? concat(g, parts, 1) : depthToSpace(g, concat(g, parts, 1), stride[0]);
}

const roundUp = (size: number, multiple: number): number => Math.ceil(size / multiple) * multiple;

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

/**
 * dw[r] = Σ_p x[s·p + r − pad] · dy[p]: per tap one product over all positions, of a window of the padded x with dy. Where the stride is 1 and dy
 * has fewer channels, windows are cut from dy instead, which moves less: dw[r] = Σ_q x[q] · dy[q + pad − r].
 *
 * @param x [B,C,H,W] @param dy [B,M,H',W'] @returns [kh,kw,C,M]
 */
function filterGradient(
  g: GraphBuilder,
  x: Value,
  dy: Value,
  geometry: Geometry & { filterShape: readonly number[] },
): Value {
  const { stride, pads, filterShape } = geometry;
  const [kernelHeight = 0, kernelWidth = 0, channels = 0, filters = 0] = filterShape;
  const [rows, columns] = pads;
  const mirrored = [mirror(rows, kernelHeight), mirror(columns, kernelWidth)] as const;
  if (filters < channels && [...stride].every((step) => step === 1) && mirrored.flat().every((amount) => amount >= 0)) {
    const padded = pad(g, dy, [[0, 0], [0, 0], ...mirrored]); // prettier-ignore
    const taps = windows(g, padded, { kernel: [kernelHeight, kernelWidth], step: stride, size: x.shape });
    const products = taps.toReversed().map((tap) => overPositions(g, flatMaps(g, x), tap));
    return reshape(g, concat(g, products, 0), filterShape);
  }
  const padded = pad(g, x, [[0, 0], [0, 0], ...pads]); // prettier-ignore
  const size = stride[0];
  const folds =
    size > 1 &&
    stride[1] === size &&
    [kernelHeight, kernelWidth, ...padded.shape.slice(2)].every((n) => n % size === 0);
  const flatDy = flatMaps(g, dy);
  if (!folds) {
    const taps = windows(g, padded, { kernel: [kernelHeight, kernelWidth], step: stride, size: dy.shape });
    return reshape(
      g,
      concat(
        g,
        taps.map((tap) => overPositions(g, tap, flatDy)),
        0,
      ),
      filterShape,
    );
  }
  // Taps of one residue class modulo the stride sit in channels of their own after space-to-depth: fewer, larger products.
  const kernel = [kernelHeight / size, kernelWidth / size] as const;
  const taps = windows(g, spaceToDepth(g, padded, size), { kernel, step: [1, 1], size: dy.shape });
  const stacked = concat(
    g,
    taps.map((tap) => overPositions(g, tap, flatDy)),
    0,
  ); // [taps·s²·C, M]
  const phases = [...kernel, size, size, channels, filters];
  return reshape(g, transpose(g, reshape(g, stacked, phases), [0, 2, 1, 3, 4, 5]), filterShape);
}

/** The padding under which the other tensor of a correlation is slid over this one. */
const mirror = ([before, after]: readonly [number, number], taps: number): readonly [number, number] => [
  taps - 1 - before,
  taps - 1 - after,
];

/** What each tap of a kernel sees of x [B,A,H,W], every `step`-th row and column of it: `size` [B,_,h,w] → [B,A,h·w], taps in raster order. */
function windows(
  g: GraphBuilder,
  x: Value,
  {
    kernel,
    step,
    size,
  }: { kernel: readonly [number, number]; step: readonly [number, number]; size: readonly number[] },
): Value[] {
  const [batch = 0, channels = 0] = x.shape;
  const [, , height = 0, width = 0] = size;
  const span = [(height - 1) * step[0] + 1, (width - 1) * step[1] + 1] as const;
  return Array.from({ length: kernel[0] * kernel[1] }, (_, tap) => {
    const [row, column] = [Math.floor(tap / kernel[1]), tap % kernel[1]];
    return flatMaps(
      g,
      slice(g, x, [0, 0, row, column], [batch, channels, row + span[0], column + span[1]], [1, 1, ...step]),
    );
  });
}

/** [B,A,h,w] → [B,A,h·w] */
const flatMaps = (g: GraphBuilder, x: Value): Value => {
  const [batch = 0, channels = 0, height = 0, width = 0] = x.shape;
  return reshape(g, x, [batch, channels, height * width]);
};

/** Σ over batch and positions of a [B,A,P] and b [B,C,P] → [A,C] */
const overPositions = (g: GraphBuilder, a: Value, b: Value): Value =>
  reduce(g, "ReduceSum", matMul(g, a, swapLast(g, b)), [0]);
