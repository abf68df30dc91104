/**
 * Which training image a sample is closest to, by tokens and by features: a prior that repeats what it was shown scores well on every other
 * figure. Exhaustive search, no index. Knows no image and no network.
 *
 * Token shares are 1 − Hamming distance / L. The check by nearest neighbours is common practice; its limits are discussed in Meehan, Chaudhuri,
 * Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models", AISTATS 2020, arXiv:2004.05675.
 */
import { invariant } from "../../shared/errors.ts";
import type { TokenGrid } from "../../shared/tokens.ts";
import { checkSameSize, rowsOf, squaredDistance, type Vectors } from "./vectors.ts";

/** For each sample, its nearest reference. */
export interface NearestTokens {
  /** [N], index of the reference; the first of several. */
  readonly indices: Int32Array;
  /** [N], share of the L positions that hold the same token, 0 … 1. */
  readonly shares: Float64Array;
}

/** Samples that share more than this with one training image count as copies. */
export const COPY_SHARE = 0.9;

/** @throws Error (a bug of the caller) if the grids differ in size or there is no reference */
export function nearestByTokens(samples: TokenGrid, references: TokenGrid): NearestTokens {
  const [count, height, width] = samples.shape;
  const [among] = references.shape;
  const length = height * width;
  invariant(references.shape[1] === height && references.shape[2] === width, "grids must be of one size");
  invariant(among > 0, "there must be a grid to be near to");
  const indices = new Int32Array(count);
  const shares = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let fewest = length + 1;
    for (let j = 0; j < among && fewest > 0; j++) {
      const differing = hamming(samples.tokens, i * length, references.tokens, j * length, { length, limit: fewest });
      if (differing < fewest) [fewest, indices[i]] = [differing, j];
    }
    shares[i] = 1 - fewest / length;
  }
  return { indices, shares };
}

/** Positions that differ, or `limit` as soon as there are that many. */
function hamming(
  a: Int32Array,
  startA: number,
  b: Int32Array,
  startB: number,
  { length, limit }: { readonly length: number; readonly limit: number },
): number {
  let differing = 0;
  for (let k = 0; k < length && differing < limit; k++) if (a[startA + k] !== b[startB + k]) differing++;
  return differing;
}

export interface NearestVectors {
  /** [N], index of the reference; the first of several. */
  readonly indices: Int32Array;
  /** [N], Euclidean. */
  readonly distances: Float64Array;
}

/** @throws Error (a bug of the caller) if the vectors differ in length or there is no reference */
export function nearestByFeatures(samples: Vectors, references: Vectors): NearestVectors {
  checkSameSize(samples, references);
  const [count, among] = [rowsOf(samples), rowsOf(references)];
  invariant(among > 0, "there must be a vector to be near to");
  const indices = new Int32Array(count);
  const distances = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let nearest = Infinity;
    for (let j = 0; j < among; j++) {
      const distance = squaredDistance(samples, i, references, j, nearest);
      if (distance < nearest) [nearest, indices[i]] = [distance, j];
    }
    distances[i] = Math.sqrt(nearest);
  }
  return { indices, distances };
}

export interface MemorisationFigures {
  /** Largest share of tokens that a sample has in common with its nearest training image. */
  readonly largestShare: number;
  /** The sample of that share. */
  readonly mostMemorised: number;
  /** Samples above `COPY_SHARE`. */
  readonly copies: number;
}

/** @param shares of `nearestByTokens`, at least one */
export function memorisationFigures(shares: Float64Array): MemorisationFigures {
  invariant(shares.length > 0, "there must be a sample");
  const largestShare = shares.reduce((largest, share) => Math.max(largest, share), 0);
  const copies = shares.filter((share) => share > COPY_SHARE).length;
  return { largestShare, mostMemorised: shares.indexOf(largestShare), copies };
}

/** The middle value, or the mean of the two in the middle; NaN of none. */
export function median(values: Float64Array): number {
  const sorted = values.toSorted();
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? NaN) + (sorted[Math.floor(half)] ?? NaN)) / 2;
}
