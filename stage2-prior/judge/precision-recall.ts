/**
 * How many samples look like data, and how much of the data the samples cover: balls around the vectors of one set, each reaching to its
 * k-th nearest neighbour within the set, and the share of the other set inside any of them. Knows no image and no network.
 *
 * Source: Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative Models",
 * NeurIPS 2019, arXiv:1904.06991, eq. 1 and 2. Balls shrink with their number: compare figures of equal counts on equal features only.
 */
import { invariant } from "../../shared/errors.ts";
import { checkSameSize, rowsOf, squaredDistance, type Vectors } from "./vectors.ts";

/** k of the paper. */
export const NEIGHBOURS = 3;

/** A set of vectors and how far each one's neighbourhood reaches. */
export interface Manifold extends Vectors {
  /** [N], squared distance to the k-th nearest of the others. */
  readonly squaredRadii: Float64Array;
}

/** Time grows with N²·F. @throws Error (a bug of the caller) unless there are more than `k` vectors */
export function createManifold(vectors: Vectors, k = NEIGHBOURS): Manifold {
  const count = rowsOf(vectors);
  invariant(Number.isSafeInteger(k) && k >= 1 && count > k, `${count} vectors have no neighbour number ${k}`);
  const nearest = new Float64Array(count * k).fill(Infinity); // [N, k], ascending
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) {
      const [ofI, ofJ] = [nearest.subarray(i * k, (i + 1) * k), nearest.subarray(j * k, (j + 1) * k)];
      const distance = squaredDistance(vectors, i, vectors, j, Math.max(ofI[k - 1] ?? 0, ofJ[k - 1] ?? 0));
      insert(ofI, distance);
      insert(ofJ, distance);
    }
  }
  const squaredRadii = Float64Array.from({ length: count }, (_, i) => nearest[(i + 1) * k - 1] ?? Infinity);
  return { ...vectors, squaredRadii };
}

/** Puts `distance` in its place among the smallest, if it is one of them. */
function insert(smallest: Float64Array, distance: number): void {
  let place = smallest.length;
  while (place > 0 && distance < (smallest[place - 1] ?? 0)) place--;
  if (place === smallest.length) return;
  smallest.copyWithin(place + 1, place);
  smallest[place] = distance;
}

/** Share of the vectors that lie in the neighbourhood of any vector of the manifold, its border included. 0 of none. */
export function coverage(manifold: Manifold, vectors: Vectors): number {
  checkSameSize(manifold, vectors);
  const count = rowsOf(vectors);
  let inside = 0;
  for (let i = 0; i < count; i++) if (isInside(manifold, vectors, i)) inside++;
  return count === 0 ? 0 : inside / count;
}

function isInside(manifold: Manifold, vectors: Vectors, i: number): boolean {
  for (const [j, radius] of manifold.squaredRadii.entries()) {
    if (squaredDistance(vectors, i, manifold, j, radius) <= radius) return true;
  }
  return false;
}

export interface PrecisionRecall {
  /** Share of the samples inside the data's manifold. */
  readonly precision: number;
  /** Share of the data inside the samples' manifold. */
  readonly recall: number;
}

export function precisionRecall(data: Manifold, samples: Manifold): PrecisionRecall {
  return { precision: coverage(data, samples), recall: coverage(samples, data) };
}
