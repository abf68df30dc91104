/**
 * k-means on the host, to start a codebook at what the encoder says. Knows no tensor and no bottleneck.
 *
 * Source: Arthur & Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007; Lloyd's iterations.
 */
import { invariant, numericalError } from "../../shared/errors.ts";
import type { Rng } from "../../shared/rng.ts";

export interface Clusters {
  /** [K, D], row-major. */
  readonly centroids: Float32Array;
  /** [K]: points nearest to each centroid; may be 0. */
  readonly counts: Float32Array;
}

export interface KMeansOptions {
  /** K */
  readonly codebookSize: number;
  /** D */
  readonly codeDimension: number;
  /** Lloyd iterations; 5 unless told (later ones gain little for a start). */
  readonly iterations?: number;
  /** Points used at most, evenly spread over all of them; 16 a code unless told. */
  readonly maxPoints?: number;
}

/**
 * K centroids of `points` [n, D] (row-major) and how many points each holds. An empty cluster moves to a random point.
 * @throws numerical if a point is not finite
 */
export function kMeans(points: Float32Array, options: KMeansOptions, rng: Rng): Clusters {
  const { codebookSize, codeDimension, iterations = 5, maxPoints = 16 * codebookSize } = options;
  const count = points.length / codeDimension;
  invariant(Number.isInteger(count) && count >= 1, `kMeans: points must fill rows of ${codeDimension}`);
  if (points.some((value) => !Number.isFinite(value)))
    throw numericalError({
      what: "encoder outputs are not finite",
      where: "k-means start",
      todo: "Lower the learning rate.",
    });

  const sample = subsample(points, codeDimension, { maxPoints, rng: rng.fork("subsample") });
  const centroids = seed(sample, options, rng.fork("seed"));
  let counts: Float32Array = new Float32Array(codebookSize);
  for (let i = 0; i < iterations; i++) {
    const nearest = assign(sample, centroids, codeDimension);
    counts = recentre(sample, nearest, centroids);
    settleEmpty(centroids, counts, { sample, rng: rng.fork("empty", i) });
  }
  return { centroids, counts: histogram(assign(sample, centroids, codeDimension), codebookSize) };
}

/** One random point from each of `maxPoints` equal stretches. */
function subsample(points: Float32Array, dimension: number, options: { maxPoints: number; rng: Rng }): Float32Array {
  const count = points.length / dimension;
  const { maxPoints, rng } = options;
  if (count <= maxPoints) return points;
  const sample = new Float32Array(maxPoints * dimension);
  for (let i = 0; i < maxPoints; i++) {
    const pick = Math.min(count - 1, Math.floor(((i + rng.uniform()) * count) / maxPoints));
    sample.set(points.subarray(pick * dimension, (pick + 1) * dimension), i * dimension);
  }
  return sample;
}

/** D² sampling: each centroid is a point, drawn in proportion to its squared distance from those before. */
function seed(points: Float32Array, { codebookSize, codeDimension: d }: KMeansOptions, rng: Rng): Float32Array {
  const count = points.length / d;
  const centroids = new Float32Array(codebookSize * d);
  const distances = new Float64Array(count).fill(Infinity);
  let pick = rng.integer(count);
  for (let k = 0; k < codebookSize; k++) {
    const centroid = points.subarray(pick * d, (pick + 1) * d);
    centroids.set(centroid, k * d);
    let total = 0;
    for (let i = 0; i < count; i++) {
      let distance = 0;
      for (let j = 0, at = i * d; j < d; j++, at++) {
        const difference = (points[at] ?? 0) - (centroid[j] ?? 0);
        distance += difference * difference;
      }
      distances[i] = Math.min(distances[i] ?? 0, distance);
      total += distances[i] ?? 0;
    }
    pick = total > 0 ? drawInProportion(distances, total * rng.uniform()) : rng.integer(count);
  }
  return centroids;
}

function drawInProportion(weights: Float64Array, target: number): number {
  let rest = target;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] ?? 0;
    if (weight > 0) last = i;
    rest -= weight;
    if (rest < 0) return last;
  }
  return last;
}

/** Index of the nearest centroid of each point. */
function assign(points: Float32Array, centroids: Float32Array, d: number): Int32Array {
  const count = points.length / d;
  const codes = centroids.length / d;
  const halfNorms = new Float64Array(codes);
  for (let i = 0; i < centroids.length; i++)
    halfNorms[Math.floor(i / d)] = (halfNorms[Math.floor(i / d)] ?? 0) + 0.5 * (centroids[i] ?? 0) ** 2;
  const nearest = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    let best = Infinity;
    for (let k = 0; k < codes; k++) {
      let distance = halfNorms[k] ?? 0; // ‖z − e‖²/2 less ‖z‖²/2
      for (let j = 0, p = i * d, c = k * d; j < d; j++, p++, c++) distance -= (points[p] ?? 0) * (centroids[c] ?? 0);
      if (distance < best) {
        best = distance;
        nearest[i] = k;
      }
    }
  }
  return nearest;
}

/** Moves centroids to the mean of their points, in place; those of empty clusters stay. Returns the counts. */
function recentre(points: Float32Array, nearest: Int32Array, centroids: Float32Array): Float32Array {
  const d = points.length / nearest.length;
  const counts = histogram(nearest, centroids.length / d);
  const sums = new Float64Array(centroids.length);
  for (let i = 0; i < points.length; i++) {
    const at = (nearest[Math.floor(i / d)] ?? 0) * d + (i % d);
    sums[at] = (sums[at] ?? 0) + (points[i] ?? 0);
  }
  for (let i = 0; i < sums.length; i++) {
    const count = counts[Math.floor(i / d)] ?? 0;
    if (count > 0) centroids[i] = (sums[i] ?? 0) / count;
  }
  return counts;
}

function settleEmpty(centroids: Float32Array, counts: Float32Array, from: { sample: Float32Array; rng: Rng }): void {
  const d = centroids.length / counts.length;
  for (const [k, count] of counts.entries()) {
    if (count > 0) continue;
    const pick = from.rng.integer(from.sample.length / d);
    centroids.set(from.sample.subarray(pick * d, (pick + 1) * d), k * d);
  }
}

function histogram(indices: Int32Array, size: number): Float32Array {
  const counts = new Float32Array(size);
  for (const index of indices) counts[index] = (counts[index] ?? 0) + 1;
  return counts;
}
