/**
 * The gated PixelCNN: logits of every token of a grid from the tokens before it in raster order, by convolutions alone. Knows no loss and no sampler.
 *
 * Two stacks, so that no position before a token is out of sight: `above` reads the rows above it, `left` its own row to the left and, in every
 * block, what `above` has found. Both start from the grid moved by one, down and right, and their kernels reach upwards and to the left of where
 * they stand: nothing needs a mask.
 *
 * Source: van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders" (arXiv:1606.05328), sections 2.1–2.3. Here the vertical
 * stack is residual too, the class also reaches the horizontal stack through it, and every position has an embedding: grids are small.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { dropout } from "../../shared/nn/dropout.ts";
import { linear, linearSpec } from "../../shared/nn/layers.ts";
import { entryOf, layer, normal, uniform, zeros, type WeightSpecs } from "../../shared/nn/state.ts";
import { classIdCount, tokenIdCount } from "../vocabulary.ts";
import type { Dropout, Network, NetworkInput } from "./network.ts";

export interface PixelCnnSize {
  /** M, channels of each stack. */
  readonly width: number;
  readonly layers: number;
  /** K */
  readonly codebookSize: number;
  readonly grid: readonly [height: number, width: number];
  /** C; 0 = unconditional. */
  readonly classes: number;
}

/** Of a 5×5 kernel: the centre and what is before it. */
const REACH = 2;
const VERTICAL = [REACH + 1, 2 * REACH + 1] as const;
const HORIZONTAL = [1, REACH + 1] as const;
const EMBEDDING_DEVIATION = 0.02;

const sitesOf = (layers: number): string[] => Array.from({ length: layers }, (_, i) => `block${i}`);

export function createPixelCnn(size: PixelCnnSize): Network {
  return {
    description: `A gated PixelCNN of ${size.layers} layers, width ${size.width}`,
    specs: pixelCnnSpecs(size),
    dropoutSites: sitesOf(size.layers),
    forward: (weights, input, options = {}) => forward(weights, input, size, options.dropout),
  };
}

/** Every weight, by name. A block's features are 2M wide until the gate halves them. */
function pixelCnnSpecs({ width, layers, codebookSize, grid, classes }: PixelCnnSize): WeightSpecs {
  const specs: Record<string, WeightSpecs[string]> = {
    "embed.token": { shape: [tokenIdCount(codebookSize), width], init: normal(1) },
    "embed.position": { shape: [grid[0] * grid[1], width], init: normal(EMBEDDING_DEVIATION) },
    ...linearSpec("out", { from: width, to: width }),
    "head.kernel": { shape: [width, codebookSize], init: normal(EMBEDDING_DEVIATION) },
    "head.bias": { shape: [codebookSize], init: zeros },
  };
  const both = 2 * width;
  for (let i = 0; i < layers; i++) {
    for (const [name, [rows, columns]] of [
      ["vertical", VERTICAL],
      ["horizontal", HORIZONTAL],
    ] as const) {
      // prettier-ignore
      const bound = Math.sqrt(3 / (rows * columns * width));
      specs[`block${i}.${name}.kernel`] = { shape: [rows, columns, width, both], init: uniform(bound) };
      specs[`block${i}.${name}.bias`] = { shape: [both], init: zeros };
      if (classes > 0)
        specs[`block${i}.${name}.class`] = { shape: [classIdCount(classes), both], init: normal(EMBEDDING_DEVIATION) };
    }
    Object.assign(specs, linearSpec(`block${i}.link`, { from: both, to: both, bias: false }));
    Object.assign(specs, linearSpec(`block${i}.out`, { from: width, to: width }));
  }
  return specs;
}

/** @returns logits [N, L, K]; those at t depend on the ids before t alone */
function forward(
  weights: Tensors,
  { ids, classIds }: NetworkInput,
  size: PixelCnnSize,
  dropping: Dropout | undefined,
): tf.Tensor {
  const { width, grid, layers, classes, codebookSize } = size;
  const [count = 0, length = 0] = ids.shape;
  const drop = (x: tf.Tensor, site: string): tf.Tensor => {
    if (dropping === undefined) return x;
    const mask = tf.reshape(entryOf(dropping.masks, `dropout.${site}`), x.shape);
    return dropout(x, mask, dropping.rate);
  };
  /** Convolution, bias and class of one stack: [N, h, w, 2M]. */
  const features = (x: tf.Tensor, stack: Tensors): tf.Tensor => {
    const y = tf.add(convolve(x, entryOf(stack, "kernel")), entryOf(stack, "bias"));
    if (classes === 0) return y;
    return tf.add(y, tf.reshape(tf.gather(entryOf(stack, "class"), classIds), [count, 1, 1, 2 * width]));
  };

  const tokens = tf.reshape(tf.gather(entryOf(weights, "embed.token"), ids), [count, ...grid, width]);
  const places = tf.reshape(entryOf(weights, "embed.position"), [1, ...grid, width]);
  let above = tf.add(moved(tokens, { down: 1, right: 0 }), places); // [N, h, w, M], of rows < i
  let left = tf.add(moved(tokens, { down: 0, right: 1 }), places); // [N, h, w, M], of tokens < t
  for (let i = 0; i < layers; i++) {
    const block = layer(weights, `block${i}`);
    const rowsAbove = features(above, layer(block, "vertical")); // [N, h, w, 2M]
    const all = tf.add(features(left, layer(block, "horizontal")), linear(rowsAbove, layer(block, "link"))); // [N, h, w, 2M]
    above = tf.add(above, gate(rowsAbove)); // [N, h, w, M]
    left = tf.add(left, drop(linear(gate(all), layer(block, "out")), `block${i}`)); // [N, h, w, M]
  }
  const hidden = tf.relu(linear(tf.relu(left), layer(weights, "out")));
  return tf.reshape(linear(hidden, layer(weights, "head")), [count, length, codebookSize]);
}

/** The grid moved down and right, zeros moving in: [N, h, w, M]. */
function moved(x: tf.Tensor, by: { down: number; right: number }): tf.Tensor {
  const padded = tf.pad(x, [[0, 0], [by.down, 0], [by.right, 0], [0, 0]]); // prettier-ignore
  return tf.slice(padded, [0, 0, 0, 0], x.shape);
}

/** Each output reads down to its own row and, in a kernel of one row, up to its own column; wider ones reach as far to the right as to the left. */
function convolve(x: tf.Tensor, kernel: tf.Tensor): tf.Tensor {
  const [rows = 1, columns = 1] = kernel.shape;
  const sides: [number, number] = rows === 1 ? [columns - 1, 0] : [(columns - 1) / 2, (columns - 1) / 2];
  const padding: [[number, number], [number, number], [number, number], [number, number]] = [
    [0, 0],
    [rows - 1, 0],
    sides,
    [0, 0],
  ];
  return tf.conv2d(x as tf.Tensor4D, kernel as tf.Tensor4D, 1, padding);
}

/** tanh(a) · σ(b), a and b the two halves of the channels. */
function gate(x: tf.Tensor): tf.Tensor {
  const [a, b] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
  return tf.mul(tf.tanh(a), tf.sigmoid(b));
}
