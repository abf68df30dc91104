/**
 * The Transformer's weights: names, shapes, first values. Knows no forward pass.
 *
 * The heads start out looking at neighbours. The biases of queries and keys meet in a product that depends on the offset alone (rotary
 * positions), so a query bias that is the key bias turned by an offset makes a head whose attention peaks there before anything is learnt: what a
 * counting prior over left and upper neighbours knows, the first layer sees from step 0. Training is free to move them.
 */
import { normal, ones, zeros, type WeightSpecs } from "../../shared/nn/state.ts";
import { frequencies } from "../../shared/nn/rotary.ts";
import { classIdCount, tokenIdCount } from "../vocabulary.ts";

export interface TransformerSize {
  /** M */
  readonly width: number;
  readonly layers: number;
  /** H; the head dimension M/H is a multiple of 4. */
  readonly heads: number;
  /** F, inside the feed-forward layer. */
  readonly feedForward: number;
  /** K */
  readonly codebookSize: number;
  readonly grid: readonly [height: number, width: number];
  /** C; 0 = unconditional. */
  readonly classes: number;
  /** Which offsets the heads start at: a causal network reads the token before each position. */
  readonly causal: boolean;
}

const EMBEDDING_DEVIATION = 0.02;
/** Largest score of the first attention: the neighbour then weighs about e⁴ times what the positions next to it do. */
const SHARPNESS = 27;

/** Offsets (row, column) from a query to the key that holds a neighbour's token: left, upper, upper left, upper right, two left, two up. */
const CAUSAL_OFFSETS = [[0, 0], [-1, 1], [-1, 0], [-1, 2], [0, -1], [-2, 1]] as const; // prettier-ignore
const FULL_OFFSETS = [[0, -1], [-1, 0], [0, 1], [1, 0], [-1, -1], [1, 1]] as const; // prettier-ignore

export function transformerSpecs(size: TransformerSize): WeightSpecs {
  const { width, layers, feedForward, codebookSize, grid, classes } = size;
  const scaled = normal(1 / Math.sqrt(width));
  // Each residual branch adds its variance to the sum: scaled down so that the sum does not grow with depth (GPT-2).
  const residual = (fanIn: number) => normal(1 / Math.sqrt(fanIn * 2 * layers));
  const specs: Record<string, WeightSpecs[string]> = {
    "embed.token": { shape: [tokenIdCount(codebookSize), width], init: normal(1) },
    "embed.position": { shape: [grid[0] * grid[1], width], init: normal(EMBEDDING_DEVIATION) },
    "norm.gain": { shape: [width], init: ones },
    "head.kernel": { shape: [width, codebookSize], init: normal(EMBEDDING_DEVIATION) },
    "head.bias": { shape: [codebookSize], init: zeros },
  };
  if (classes > 0) specs["embed.class"] = { shape: [classIdCount(classes), width], init: normal(EMBEDDING_DEVIATION) };
  for (let i = 0; i < layers; i++) {
    specs[`block${i}.attentionNorm.gain`] = { shape: [width], init: ones };
    specs[`block${i}.qkv.kernel`] = { shape: [width, 3 * width], init: scaled };
    specs[`block${i}.qkv.bias`] = { shape: [3 * width], init: listed(neighbourBiases(size, i)) };
    specs[`block${i}.out.kernel`] = { shape: [width, width], init: residual(width) };
    specs[`block${i}.feedForwardNorm.gain`] = { shape: [width], init: ones };
    specs[`block${i}.gate.kernel`] = { shape: [width, feedForward], init: scaled };
    specs[`block${i}.up.kernel`] = { shape: [width, feedForward], init: scaled };
    specs[`block${i}.down.kernel`] = { shape: [feedForward, width], init: residual(feedForward) };
  }
  return specs;
}

/** An `init` that gives the values one after another. */
function listed(values: Float32Array): () => number {
  let at = 0;
  return () => values[at++ % values.length] ?? 0;
}

/**
 * [3M]: query, key and value biases. With key bias (b, 0) for each pair and the query bias the same turned by θ·Δ, the product at offset δ is
 * b²·Σ cos θ(δ − Δ), which is largest at δ = Δ. Only the first two layers start so; deeper ones start without a preference.
 */
function neighbourBiases(size: TransformerSize, layer: number): Float32Array {
  const { width, heads, grid, causal } = size;
  const biases = new Float32Array(3 * width);
  if (layer >= 2) return biases;
  const offsets = causal ? CAUSAL_OFFSETS : FULL_OFFSETS;
  const headDimension = width / heads;
  const pairs = headDimension / 2;
  const perAxis = pairs / 2;
  const [byRow, byColumn] = [frequencies(perAxis, grid[0]), frequencies(perAxis, grid[1])];
  // Queries are divided by √Dh: b² carries that factor, so that SHARPNESS is what reaches the softmax.
  const strength = Math.sqrt((SHARPNESS * Math.sqrt(headDimension)) / pairs);
  for (let head = 0; head < heads; head++) {
    const [row, column] = offsets[(head + layer * heads) % offsets.length] ?? [0, 0];
    for (let pair = 0; pair < pairs; pair++) {
      const angle = pair < perAxis ? row * (byRow[pair] ?? 0) : column * (byColumn[pair - perAxis] ?? 0);
      const at = head * headDimension + pair;
      // The key at offset δ is turned by +θδ relative to the query: the query bias must be turned by θΔ to meet it.
      biases[at] = strength * Math.cos(angle);
      biases[at + pairs] = strength * Math.sin(angle);
      biases[width + at] = strength;
    }
  }
  return biases;
}
