/**
 * The network of all objectives but one: a pre-norm Transformer over the tokens of a grid. Causal or bidirectional is the caller's word; the
 * weights are the same. Pure functions of weights and ids; knows no loss, no sampler and no file.
 *
 * Source: Vaswani et al. 2017; the block of Touvron et al. 2023, "LLaMA" (RMSNorm, SwiGLU, rotary positions), on a 2D grid as in Sun et al.
 * 2024, "LlamaGen" (arXiv:2406.06525).
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { attention, cachedAttention, hiddenKeys, type AttentionCache } from "../../shared/nn/attention.ts";
import { dropout } from "../../shared/nn/dropout.ts";
import { linear } from "../../shared/nn/layers.ts";
import { rmsNorm } from "../../shared/nn/norm.ts";
import { rotaryTables, rotate, turnMatrices, turnTable } from "../../shared/nn/rotary.ts";
import { entryOf, layer } from "../../shared/nn/state.ts";
import { swiglu } from "../../shared/nn/swiglu.ts";
import type { Dropout, Network, NetworkInput } from "./network.ts";
import { transformerSpecs, type TransformerSize } from "./weights.ts";

export interface ForwardOptions {
  readonly causal: boolean;
  readonly dropout?: Dropout;
}

/** Name of a dropout mask's entry in the batch. */
export const dropoutSites = (layers: number): string[] => [
  "embedding",
  ...Array.from({ length: layers }, (_, i) => [`block${i}.attention`, `block${i}.feedForward`]).flat(),
];

export function createTransformer(size: TransformerSize): Network {
  const { layers, width, heads, causal } = size;
  return {
    description: `A Transformer of ${layers} layers, width ${width}, ${heads} heads`,
    specs: transformerSpecs(size),
    dropoutSites: dropoutSites(layers),
    forward: (weights, input, options = {}) => forward(weights, input, size, { causal, ...options }),
  };
}

/**
 * @param ids int32 [N, L], 0 … K (K = unknown); for the causal network shifted right by one, K in front
 * @param classIds int32 [N], 0 … C (C = null); ignored if the size has no classes
 * @returns logits [N, L, K]; position t of the causal network predicts token t
 */
export function forward(
  weights: Tensors,
  input: NetworkInput,
  size: TransformerSize,
  options: ForwardOptions,
): tf.Tensor {
  const [count = 0, length = 0] = input.ids.shape;
  const at: RowsAt = (table) => tf.slice(table, [0, 0], [length, -1]);
  const angles = anglesAt(size, at);
  const drop = (x: tf.Tensor, site: string): tf.Tensor =>
    options.dropout === undefined
      ? x
      : dropout(x, entryOf(options.dropout.masks, `dropout.${site}`), options.dropout.rate);
  let x = drop(embed(weights, input, size, at), "embedding"); // [N, L, M]
  for (let i = 0; i < size.layers; i++) {
    const block = layer(weights, `block${i}`);
    const { q, k, v } = projections(x, block, { ...size, count, length }, angles); // [N, L, H, Dh] each
    const heads = attention(headsFirst(q), headsFirst(k), headsFirst(v), options); // [N, H, L, Dh]
    const merged = tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [count, length, size.width]); // [N, L, M]
    x = tf.add(x, drop(linear(merged, layer(block, "out")), `block${i}.attention`));
    x = tf.add(x, drop(feedForward(x, block), `block${i}.feedForward`));
  }
  return readOut(weights, x);
}

/** Rows of a table with one a position: [L, ..] → [T, ..]. */
type RowsAt = (table: tf.Tensor) => tf.Tensor;

/** What a causal network has of the positions before. */
export interface Past {
  /** int32 [1]: P, how many they are. */
  readonly length: tf.Tensor;
  /** Per layer, [N, H, R, Dh] with 1 ≤ R ≤ L and P ≤ R. */
  readonly caches: readonly AttentionCache[];
}

/**
 * The causal network with the keys and values of P earlier positions given: costs what the T new positions cost.
 * @param ids int32 [N, T]
 * @returns logits [N, T, K] and, per layer, the new rows [N, H, T, Dh]
 */
export function forwardCached(
  weights: Tensors,
  input: NetworkInput & { readonly past: Past },
  size: TransformerSize,
): { logits: tf.Tensor; present: AttentionCache[] } {
  const { length: pastLength, caches } = input.past;
  const [count = 0, length = 0] = input.ids.shape;
  const all = tf.range(0, size.grid[0] * size.grid[1], 1, "int32"); // [L]
  const first = (rows: number): tf.Tensor => tf.slice(all, [0], [rows]);
  const positions = tf.add(first(length), pastLength); // [T]
  const at: RowsAt = (table) => tf.gather(table, positions);
  const headDimension = size.width / size.heads;
  // Queries and keys alike: together they are divided by √Dh.
  const turns = turnMatrices(at(turnTable(size.grid, headDimension)), headDimension ** -0.25); // [T, Dh, Dh]
  const hidden = hiddenKeys(pastLength, first(caches[0]?.keys.shape[2] ?? 0), positions); // [T, R + T]
  const present: AttentionCache[] = [];
  // Rows all the way, which linear layers need not reshape: at one token a call every node counts.
  let x = tf.reshape(embed(weights, input, size, at), [count * length, size.width]); // [N·T, M]
  for (const [i, past] of caches.entries()) {
    const block = layer(weights, `block${i}`);
    const parts = tf.reshape(projected(x, block), [count, length, 3 * size.heads, headDimension]);
    const [turning, v] = tf.split(parts, [2 * size.heads, size.heads], 2) as [tf.Tensor, tf.Tensor];
    const turned = headsFirst(tf.matMul(turning, turns)); // [N, 2H, T, Dh]
    const [q, keys] = tf.split(turned, 2, 1) as [tf.Tensor, tf.Tensor]; // [N, H, T, Dh] each
    const values = headsFirst(v);
    const heads = cachedAttention(q, past, { keys, values }, hidden); // [N, H, T, Dh]
    const merged = tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [count * length, size.width]);
    x = tf.add(x, linear(merged, layer(block, "out")));
    x = tf.add(x, feedForward(x, block));
    present.push({ keys, values });
  }
  return { logits: tf.reshape(readOut(weights, x), [count, length, size.codebookSize]), present };
}

const headsFirst = (x: tf.Tensor): tf.Tensor => tf.transpose(x, [0, 2, 1, 3]); // [N, H, L, Dh]

/** Token, position and class, added up: [N, T, M]. */
function embed(weights: Tensors, input: NetworkInput, size: TransformerSize, at: RowsAt): tf.Tensor {
  const tokens = tf.gather(entryOf(weights, "embed.token"), input.ids); // [N, T, M]
  const placed = tf.add(tokens, at(entryOf(weights, "embed.position"))); // [T, M]
  if (size.classes === 0) return placed;
  return tf.add(placed, tf.expandDims(tf.gather(entryOf(weights, "embed.class"), input.classIds), 1)); // [N, 1, M]
}

/** Cosines and sines of the positions' angles: [T, 1, Dh/2]. */
function anglesAt(size: TransformerSize, at: RowsAt): { cos: tf.Tensor; sin: tf.Tensor } {
  const { cos, sin, shape } = rotaryTables(size.grid, size.width / size.heads);
  const rows = (table: Float32Array): tf.Tensor => tf.expandDims(at(tf.tensor(table, [...shape])), 1);
  return { cos: rows(cos), sin: rows(sin) };
}

/** Queries, keys and values of the normalised input, side by side: [.., M] → [.., 3M]. */
const projected = (x: tf.Tensor, block: Tensors): tf.Tensor =>
  linear(rmsNorm(x, entryOf(block, "attentionNorm.gain")), layer(block, "qkv"));

/** Queries (divided by √Dh), keys and values of the normalised input [.., M], positions turned in: [N, T, H, Dh] each. */
function projections(
  x: tf.Tensor,
  block: Tensors,
  size: TransformerSize & { readonly count: number; readonly length: number },
  angles: { cos: tf.Tensor; sin: tf.Tensor },
) {
  const { count, length } = size;
  const headDimension = size.width / size.heads;
  const parts = tf.reshape(projected(x, block), [count, length, 3 * size.heads, headDimension]);
  const heads = size.heads;
  const [turning, v] = tf.split(parts, [2 * heads, heads], 2) as [tf.Tensor, tf.Tensor];
  const [q, k] = tf.split(rotate(turning, angles), 2, 2) as [tf.Tensor, tf.Tensor]; // [N, T, H, Dh] each
  return { q: tf.mul(q, 1 / Math.sqrt(headDimension)), k, v };
}

function feedForward(x: tf.Tensor, block: Tensors): tf.Tensor {
  const normalised = rmsNorm(x, entryOf(block, "feedForwardNorm.gain"));
  const hidden = swiglu(linear(normalised, layer(block, "gate")), linear(normalised, layer(block, "up"))); // [.., F]
  return linear(hidden, layer(block, "down"));
}

function readOut(weights: Tensors, x: tf.Tensor): tf.Tensor {
  return linear(rmsNorm(x, entryOf(weights, "norm.gain")), layer(weights, "head")); // [.., K]
}
