/**
 * What works cost by arithmetic, in floating-point operations (a multiplication and its addition are two), and how figures grow. Counts the
 * products only: convolutions, linear layers, attention, distances to codes. Knows no runtime.
 */
import type { TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import type { PriorConfig } from "../../stage2-prior/config.ts";

type TokenizerSize = Pick<
  TokenizerConfig,
  "imageSize" | "stride" | "hidden" | "residualHidden" | "residualLayers" | "codeDimension" | "codebookSize"
>;

/** A training step does each product three times: forward, for the gradient of the weights, for the gradient of the input. */
const TRAINING = 3;

/** Of one image: forward passes, and a training step with a codebook learnt by gradient. */
export function tokenizerFlops(size: TokenizerSize): { encode: number; decode: number; step: number } {
  const { imageSize, stride, hidden, residualHidden, residualLayers, codeDimension, codebookSize } = size;
  const positions = (imageSize / stride) ** 2;
  const convolution = (kernel: number, from: number, to: number, at: number): number =>
    2 * kernel ** 2 * from * to * at;
  const residual =
    residualLayers *
    (convolution(3, hidden, residualHidden, positions) + convolution(1, residualHidden, hidden, positions));

  // A halving and the doubling that mirrors it cost the same: both pair the smaller map's positions with 4×4 of the larger one's.
  const halvings = Math.log2(stride);
  const halving = (level: number): number => {
    const channels = (i: number): number => (i === 0 ? 3 : i === 1 && halvings > 1 ? hidden / 2 : hidden);
    return convolution(4, channels(level), channels(level + 1), (imageSize / 2 ** (level + 1)) ** 2);
  };
  const resampling = sum(Array.from({ length: halvings }, (_, level) => halving(level)));

  const nearest = 2 * positions * codebookSize * codeDimension;
  const encoder =
    resampling +
    convolution(3, hidden, hidden, positions) +
    residual +
    convolution(1, hidden, codeDimension, positions);
  const decoder = convolution(3, codeDimension, hidden, positions) + residual + resampling;
  // Nobody asks for the gradient of the images, nor of the choice of codes.
  const step = TRAINING * (encoder + decoder) - halving(0) + nearest;
  return { encode: encoder + nearest, decode: decoder, step };
}

type PriorSize = Pick<PriorConfig, "width" | "layers" | "feedForward" | "codebookSize" | "objective"> & {
  readonly grid: readonly [height: number, width: number];
};

/** Of one image of L tokens: the forward pass over the whole grid, and a training step. A causal query is counted with the keys it may see. */
export function transformerFlops(size: PriorSize): { forward: number; step: number } {
  const { width, layers, feedForward, codebookSize, grid, objective } = size;
  const length = grid[0] * grid[1];
  const pairs = objective === "causal" ? (length * (length + 1)) / 2 : length ** 2;
  const linear = 4 * width ** 2 + 3 * width * feedForward; // queries, keys, values, output; gate, up, down
  const attention = 2 * pairs * width; // scores and weighted values
  const forward = layers * 2 * (length * linear + attention) + 2 * length * width * codebookSize;
  return { forward, step: TRAINING * forward };
}

/** p of the least-squares fit log y = p · log x + c. @param points at least two, positive */
export function fitExponent(points: readonly (readonly [x: number, y: number])[]): number {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const meanX = sum(logs.map(([x]) => x)) / logs.length;
  const meanY = sum(logs.map(([, y]) => y)) / logs.length;
  return sum(logs.map(([x, y]) => (x - meanX) * (y - meanY))) / sum(logs.map(([x]) => (x - meanX) ** 2));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
