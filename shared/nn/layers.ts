/**
 * Convolution, transposed convolution and linear maps as functions of (x, weights), each with the declaration of its weights.
 * Padding is always explicit and symmetric (TensorFlow's "same" is lopsided for even kernels). Knows no model.
 *
 * First values: kernels uniform with variance 1/fanIn (LeCun et al., "Efficient BackProp", 1998, eq. 16), biases 0.
 */
import type { Tensors } from "../engine/engine.ts";
import { tf } from "../engine/tf.ts";
import { invariant } from "../errors.ts";
import { entryOf, uniform, zeros, type WeightSpec, type WeightSpecs } from "./state.ts";

export interface ConvGeometry {
  readonly stride?: number;
  /** Zeros added on each of the four sides. */
  readonly padding?: number;
}

/** Declares `<name>.kernel` [k, k, C, M] and `<name>.bias` [M]. */
export function conv2dSpec(name: string, size: { kernelSize: number; from: number; to: number }): WeightSpecs {
  const { kernelSize, from, to } = size;
  return weightsWithBias(name, [kernelSize, kernelSize, from, to], { fanIn: kernelSize * kernelSize * from, bias: to });
}

/**
 * Declares `<name>.kernel` [k, k, M, C] (outputs before inputs) and `<name>.bias` [M]. Each output pixel sees (k/stride)² input
 * pixels, hence the fan-in.
 */
export function conv2dTransposeSpec(
  name: string,
  size: { kernelSize: number; stride: number; from: number; to: number },
): WeightSpecs {
  const { kernelSize, stride, from, to } = size;
  return weightsWithBias(name, [kernelSize, kernelSize, to, from], {
    fanIn: Math.max(1, (kernelSize / stride) ** 2 * from),
    bias: to,
  });
}

/** Declares `<name>.kernel` [from, to] and, unless `bias` is false, `<name>.bias` [to]. */
export function linearSpec(name: string, size: { from: number; to: number; bias?: boolean }): WeightSpecs {
  const { from, to, bias = true } = size;
  const specs = weightsWithBias(name, [from, to], { fanIn: from, bias: to });
  return bias ? specs : { [`${name}.kernel`]: entryOf(specs, `${name}.kernel`) };
}

function weightsWithBias(name: string, shape: readonly number[], size: { fanIn: number; bias: number }): WeightSpecs {
  const kernel: WeightSpec = { shape, init: uniform(Math.sqrt(3 / size.fanIn)) };
  return { [`${name}.kernel`]: kernel, [`${name}.bias`]: { shape: [size.bias], init: zeros } };
}

/** x [B, H, W, C] → [B, ⌊(H + 2p − k)/s⌋ + 1, …, M]; weights `kernel` [k, k, C, M], `bias` [M]. */
export function conv2d(x: tf.Tensor, weights: Tensors, { stride = 1, padding = 0 }: ConvGeometry = {}): tf.Tensor {
  const kernel = entryOf(weights, "kernel") as tf.Tensor4D;
  const y = tf.conv2d(x as tf.Tensor4D, kernel, stride, explicitPadding(padding));
  return addBias(y, weights);
}

/**
 * x [B, H, W, C] → [B, (H − 1)s + k − 2p, …, M]: the transpose of `conv2d` with the same geometry; k = 4, s = 2, p = 1 doubles
 * the sides exactly. Weights `kernel` [k, k, M, C], `bias` [M].
 */
export function conv2dTranspose(
  x: tf.Tensor,
  weights: Tensors,
  { stride = 1, padding = 0 }: ConvGeometry = {},
): tf.Tensor {
  const kernel = entryOf(weights, "kernel") as tf.Tensor4D;
  const [batch, height, width] = (x as tf.Tensor4D).shape;
  const [kernelHeight, kernelWidth, to] = kernel.shape;
  const outputShape: [number, number, number, number] = [
    batch,
    (height - 1) * stride + kernelHeight - 2 * padding,
    (width - 1) * stride + kernelWidth - 2 * padding,
    to,
  ];
  return addBias(tf.conv2dTranspose(x as tf.Tensor4D, kernel, outputShape, stride, explicitPadding(padding)), weights);
}

/** x […, from] → […, to]; weights `kernel` [from, to] and optionally `bias` [to]. */
export function linear(x: tf.Tensor, weights: Tensors): tf.Tensor {
  const kernel = entryOf(weights, "kernel") as tf.Tensor2D;
  const [from, to] = kernel.shape;
  invariant(x.shape.at(-1) === from, `linear: x must have shape […, ${from}], got [${x.shape.join(", ")}]`);
  const rows = x.rank === 2 ? x : tf.reshape(x, [-1, from]); // [N, from]
  const y = addBias(tf.matMul(rows, kernel), weights); // [N, to]
  return x.rank === 2 ? y : tf.reshape(y, [...x.shape.slice(0, -1), to]);
}

function addBias(y: tf.Tensor, weights: Tensors): tf.Tensor {
  const bias = weights["bias"];
  return bias === undefined ? y : tf.add(y, bias);
}

type Padding = [[number, number], [number, number], [number, number], [number, number]];
function explicitPadding(p: number): Padding {
  return [
    [0, 0],
    [p, p],
    [p, p],
    [0, 0],
  ];
}
