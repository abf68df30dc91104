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
import type { Clusters } from "./k-means.ts";
import { countCodes, detachedRows, lookupCodes, nearestCodes, pull } from "./nearest.ts";
import type { Quantized, Quantizer, QuantizerSize } from "./quantizer.ts";

export interface VqEmaOptions extends QuantizerSize {
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

const EPSILON = 1e-5;

/** A revived code's count, in thresholds: left unused at γ = 0.99 it is replaced again after ln 2 / (1 − γ) ≈ 69 steps. */
const SECOND_LIFE = 2;

export function createVqEma(options: VqEmaOptions): Quantizer {
  const { codebookSize, codeDimension, decay, batchTokens } = options;

  function assign(zE: tf.Tensor, state: Tensors): tf.Tensor {
    const flat = nearestCodes(detachedRows(zE, codeDimension), entryOf(state, EMBEDDING)); // [N]
    return tf.reshape(flat, zE.shape.slice(0, 3)); // [B, h, w]
  }

  function quantize(zE: tf.Tensor, state: Tensors, batch: Tensors): Quantized {
    const indices = assign(zE, state); // [B, h, w]
    const chosen = lookupCodes(indices, entryOf(state, EMBEDDING)); // [B, h, w, D]
    const rows = detachedRows(zE, codeDimension); // [N, D]
    const flat = tf.reshape<tf.Rank.R1>(indices, [-1]); // [N]
    const counts = countCodes(flat, codebookSize);
    const sums = tf.unsortedSegmentSum(rows, flat, codebookSize); // [K, D]
    const candidates = tf.gather(rows, entryOf(batch, "revivalPicks")); // [K, D]
    return {
      zQ: straightThrough(zE, chosen),
      indices,
      codebookLoss: tf.scalar(0),
      commitmentLoss: pull(zE, chosen),
      counts,
      statistics: { counts, sums, candidates },
    };
  }

  function updateState(state: Tensors, statistics: Tensors): Tensors {
    const fresh = entryOf(statistics, "counts");
    const counts = mix(entryOf(state, COUNTS), fresh, decay); // [K]   N ← γN + (1 − γ)n
    const sums = mix(entryOf(state, SUMS), entryOf(statistics, "sums"), decay); // [K, D]   m ← γm + (1 − γ)Σz
    const embedding = tf.div(sums, tf.expandDims(smoothed(counts), 1)); // [K, D]   e = m / N
    const updated = { [COUNTS]: counts, [SUMS]: sums, [EMBEDDING]: embedding };
    if (options.revivalThreshold === 0) return updated;
    return revive(updated, entryOf(statistics, "candidates"), tf.mul(tf.mean(fresh), options.revivalThreshold));
  }

  return {
    name: "vq-ema",
    initialState: (rng) => initialState(options, rng),
    startFrom: (clusters) => startFrom(options, clusters),
    drawn: {
      spec: { revivalPicks: { shape: [codebookSize], dtype: "int32" } },
      draw: (rng) => ({ revivalPicks: Int32Array.from({ length: codebookSize }, () => rng.integer(batchTokens)) }),
    },
    quantize,
    assign,
    lookup: (tokens, state) => lookupCodes(tokens, entryOf(state, EMBEDDING)),
    updateState,
  };
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
  };
}

/** Codes uniform in ±1/K, each with an average code's share: counts that started at 0 would throw an unhit code far away. */
function initialState(options: VqEmaOptions, rng: Rng): InitialState {
  const { codebookSize, codeDimension } = options;
  const shape = [codebookSize, codeDimension];
  const { spec, values } = initialise({ [EMBEDDING]: { shape, init: uniform(1 / codebookSize) } }, rng);
  const centroids = Float32Array.from(entryOf(values, EMBEDDING));
  return {
    spec: { ...spec, [SUMS]: { shape, dtype: "float32" }, [COUNTS]: { shape: [codebookSize], dtype: "float32" } },
    values: startFrom(options, { centroids, counts: new Float32Array(codebookSize).fill(1) }),
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
  return { [EMBEDDING]: clusters.centroids.slice(), [COUNTS]: counts, [SUMS]: sums };
}
