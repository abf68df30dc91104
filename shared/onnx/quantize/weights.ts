/**
 * Weights as int8, symmetric, one scale per output channel: w ≈ scale · q with q in −127 … 127, so that the largest weight of a channel is exact
 * (Krishnamoorthi 2018, arXiv:1806.08342, §3). Knows no graph.
 */
import { invariant } from "../../errors.ts";
import { sizeOf } from "../../records.ts";

export interface WeightStorage {
  /**
   * Store the same integers as uint8 around `UNSIGNED_ZERO`, for processors that add pairs of uint8 × int8 products in saturating int16
   * (`saturatesPairs`). Default false.
   */
  readonly unsignedWeights?: boolean;
}

/** uint8 that stands for 0. */
export const UNSIGNED_ZERO = 128;

/** Quantized weights as a tensor's type and elements. */
export function storeWeights(
  values: Int8Array<ArrayBuffer>,
  { unsignedWeights = false }: WeightStorage,
): { readonly type: "int8" | "uint8"; readonly elements: Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer> } {
  return unsignedWeights
    ? { type: "uint8", elements: Uint8Array.from(values, (value) => value + UNSIGNED_ZERO) }
    : { type: "int8", elements: values };
}

/** Largest magnitude of a quantized weight: −128 is left out, which keeps the grid symmetric. */
const LARGEST = 127;

export interface QuantizedWeights {
  /** Row-major, in the weights' shape. */
  readonly values: Int8Array<ArrayBuffer>;
  /** [channels]; 1 for a channel of zeros. */
  readonly scales: Float32Array<ArrayBuffer>;
}

/**
 * @param weights row-major, of `shape`, finite
 * @param axis of the output channels
 */
export function quantizeWeights(weights: Float32Array, shape: readonly number[], axis: number): QuantizedWeights {
  const channels = shape[axis] ?? 0;
  invariant(weights.length === sizeOf(shape) && channels > 0, `weights of shape [${shape.join()}], axis ${axis}`);
  const stride = sizeOf(shape.slice(axis + 1));
  const scales = new Float32Array(channels);
  for (let start = 0, channel = 0; start < weights.length; start += stride, channel = (channel + 1) % channels) {
    let largest = 0;
    for (let i = start; i < start + stride; i++) largest = Math.max(largest, Math.abs(weights[i] ?? 0));
    scales[channel] = Math.max(scales[channel] ?? 0, largest / LARGEST);
  }
  for (const [channel, scale] of scales.entries()) if (scale === 0) scales[channel] = 1;
  const values = new Int8Array(weights.length);
  for (let start = 0, channel = 0; start < weights.length; start += stride, channel = (channel + 1) % channels) {
    const scale = scales[channel] ?? 1;
    for (let i = start; i < start + stride; i++) {
      values[i] = Math.max(-LARGEST, Math.min(LARGEST, Math.round((weights[i] ?? 0) / scale)));
    }
  }
  return { values, scales };
}
