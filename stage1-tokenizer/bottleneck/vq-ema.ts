/**
 * VQ-EMA: each code is the running mean of the zE assigned to it, kept as counts N and sums m; no gradient reaches the codebook.
 * Codes that fall out of use are revived at encoder outputs of the batch. Knows nothing of how those were picked: the picks
 * come with the batch.
 *
 * Source: van den Oord et al. 2017, appendix A.1, equations 6–8; Laplace smoothing as in Sonnet's VectorQuantizerEMA; revival as
 * in Dhariwal et al., "Jukebox", 2020, section 3.1.
 */
import type { Arrays, NumericArray, Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { entryOf, type InitialState, initialise, uniform } from "../../shared/nn/state.ts";
import { straightThrough } from "../../shared/nn/straight-through.ts";
import type { Rng } from "../../shared/rng.ts";
import type { Bottled, DiscreteBottleneck } from "./bottleneck.ts";
import type { Clusters } from "./k-means.ts";
import { checkChannels, countCodes, detachedRows, lookupCodes, nearestCodes, onSphere, pull } from "./nearest.ts";
import type { VqOptions } from "./vq.ts";

export interface VqEmaOptions extends VqOptions {
  /** γ; 0.99 in the paper. */
  readonly decay: number;
  /** A code whose count falls below this fraction of an average code's share, batchTokens / K, is revived; 0: never. */
  readonly revivalThreshold: number;
  /** Positions in one batch, B·h·w. */
  readonly batchTokens: number;
}

const EMBEDDING = "codebook/embedding";
const COUNTS = "codebook/counts";
const SUMS = "codebook/sums";
/** Revivals so far, for people. */
const REVIVALS = "codebook/revivals";

const EPSILON = 1e-5;

/** A revived code's count, in thresholds: left unused at γ = 0.99 it is replaced again after ln 2 / (1 − γ) ≈ 69 steps. */
const SECOND_LIFE = 2;

export function createVqEma(options: VqEmaOptions) {
  const { codebookSize, codeDimension, decay, batchTokens, commitmentWeight, normalizeCodes } = options;
  const points = (x: tf.Tensor): tf.Tensor => (normalizeCodes ? onSphere(x) : x);

  const nearest = (z: tf.Tensor, state: Tensors): tf.Tensor =>
    tf.reshape(nearestCodes(detachedRows(z, codeDimension), entryOf(state, EMBEDDING)), z.shape.slice(0, 3)); // [B, h, w]

  function forward(zE: tf.Tensor, state: Tensors, batch: Tensors): Bottled {
    checkChannels(zE, codeDimension);
    const z = points(zE); // [B, h, w, D]
    const indices = nearest(z, state); // [B, h, w]
    const chosen = lookupCodes(indices, entryOf(state, EMBEDDING)); // [B, h, w, D]
    const rows = detachedRows(z, codeDimension); // [N, D]
    const flat = tf.reshape<tf.Rank.R1>(indices, [-1]); // [N]
    return {
      z: straightThrough(z, chosen),
      terms: { commitmentLoss: { value: pull(z, chosen), weight: commitmentWeight } },
      statistics: {
        counts: countCodes(indices, codebookSize),
        sums: tf.unsortedSegmentSum(rows, flat, codebookSize), // [K, D]
        candidates: tf.gather(rows, entryOf(batch, "revivalPicks")), // [K, D]
      },
      metrics: { revivals: tf.clone(entryOf(state, REVIVALS)) },
    };
  }

  function updateState(state: Tensors, statistics: Tensors): Tensors {
    const fresh = entryOf(statistics, "counts");
    const counts = mix(entryOf(state, COUNTS), fresh, decay); // [K]   N ← γN + (1 − γ)n
    const sums = mix(entryOf(state, SUMS), entryOf(statistics, "sums"), decay); // [K, D]   m ← γm + (1 − γ)Σz
    const means = points(tf.div(sums, tf.expandDims(smoothed(counts), 1))); // [K, D]   e = m / N
    const revivals = entryOf(state, REVIVALS);
    const updated = { [COUNTS]: counts, [SUMS]: sums, [EMBEDDING]: means, [REVIVALS]: revivals };
    if (options.revivalThreshold === 0) return updated;
    return revive(updated, entryOf(statistics, "candidates"), tf.mul(tf.mean(fresh), options.revivalThreshold));
  }

  return {
    kind: "discrete",
    name: "vq-ema",
    codebookSize,
    encoderChannels: codeDimension,
    decoderChannels: codeDimension,
    initialState: (rng) => initialState(options, rng),
    drawn: {
      spec: { revivalPicks: { shape: [codebookSize], dtype: "int32" } },
      draw: (rng) => ({ revivalPicks: Int32Array.from({ length: codebookSize }, () => rng.integer(batchTokens)) }),
    },
    forward,
    assign: (zE, state) => nearest(points(zE), state),
    lookup: (tokens, state) => lookupCodes(tokens, entryOf(state, EMBEDDING)),
    kMeansStart: { codeDimension, points, startFrom: (clusters) => startFrom(options, clusters) },
    updateState,
  } as const satisfies DiscreteBottleneck;
}

/** γ·old + (1 − γ)·fresh. */
function mix(old: tf.Tensor, fresh: tf.Tensor, decay: number): tf.Tensor {
  return tf.add(tf.mul(old, decay), tf.mul(fresh, 1 - decay));
}

/** (N + ε) / (ΣN + Kε) · ΣN: no code divides by zero, and the total stays. counts [K] → [K]. */
function smoothed(counts: tf.Tensor): tf.Tensor {
  const total = tf.sum(counts);
  return tf.mul(tf.add(counts, EPSILON), tf.div(total, tf.add(total, counts.size * EPSILON)));
}

/** Puts every code whose count is below `threshold` (scalar) at its candidate. */
function revive(codebook: Tensors, candidates: tf.Tensor, threshold: tf.Tensor): Tensors {
  const counts = entryOf(codebook, COUNTS);
  const dead = tf.less(counts, threshold); // [K]
  const deadRows = tf.expandDims(dead, 1); // [K, 1]
  const count = tf.mul(threshold, SECOND_LIFE);
  return {
    [COUNTS]: tf.where(dead, count, counts),
    [SUMS]: tf.where(deadRows, tf.mul(candidates, count), entryOf(codebook, SUMS)),
    [EMBEDDING]: tf.where(deadRows, candidates, entryOf(codebook, EMBEDDING)),
    [REVIVALS]: tf.add(entryOf(codebook, REVIVALS), tf.sum(tf.cast(dead, "float32"))),
  };
}

/** Codes uniform in ±1/K, each with an average code's share: counts that started at 0 would throw an unhit code far away. */
function initialState(options: VqEmaOptions, rng: Rng): InitialState {
  const { codebookSize, codeDimension } = options;
  const shape = [codebookSize, codeDimension];
  const { spec, values } = initialise({ [EMBEDDING]: { shape, init: uniform(1 / codebookSize) } }, rng);
  const centroids = Float32Array.from(entryOf(values, EMBEDDING));
  return {
    spec: {
      ...spec,
      [SUMS]: { shape, dtype: "float32" },
      [COUNTS]: { shape: [codebookSize], dtype: "float32" },
      [REVIVALS]: { shape: [], dtype: "float32" },
    },
    values: {
      ...startFrom(options, { centroids, counts: new Float32Array(codebookSize).fill(1) }),
      [REVIVALS]: new Float32Array(1),
    },
  };
}

/** Counts scaled to one batch (their steady state), at least that of one point; sums = centroid × count. */
function startFrom(options: VqEmaOptions, clusters: Clusters): Arrays {
  const held = clusters.counts.map((count) => Math.max(count, 1));
  const scale = options.batchTokens / held.reduce((sum, count) => sum + count, 0);
  const counts = held.map((count) => count * scale);
  const sums: NumericArray = clusters.centroids.map(
    (value, i) => value * (counts[Math.floor(i / options.codeDimension)] ?? 0),
  );
  return { [EMBEDDING]: startingCodes(options, clusters.centroids), [COUNTS]: counts, [SUMS]: sums };
}

/** Means of unit vectors are shorter than 1. */
function startingCodes({ codeDimension, normalizeCodes }: VqEmaOptions, centroids: Float32Array): Float32Array {
  const codes = centroids.slice();
  if (!normalizeCodes) return codes;
  for (let start = 0; start < codes.length; start += codeDimension) {
    const row = codes.subarray(start, start + codeDimension);
    const norm = Math.hypot(...row);
    if (norm > 0) row.set(row.map((value) => value / norm));
  }
  return codes;
}
