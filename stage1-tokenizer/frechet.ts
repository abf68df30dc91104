/**
 * Fréchet distance between two sets of feature vectors, each taken for the Gaussian of its mean and covariance:
 * d² = ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, eq. 6). On the host; knows no
 * image and no network. It is the "FID" of the literature only on the features of the Inception network that the literature uses.
 *
 * The estimate is biased upwards, the more so the fewer vectors there are for their length F: compare figures of equal counts only.
 */
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { badInput, invariant } from "../shared/errors.ts";

export interface Gaussian {
  readonly count: number;
  /** μ [F] */
  readonly mean: Float64Array;
  /** Σ [F, F], unbiased: divided by count − 1. */
  readonly covariance: Float64Array;
}

/** Takes feature vectors batch by batch; memory does not grow with their number. */
export interface GaussianMeter {
  /** @param features [N, F], finite. @param size F, the same each time */
  add(features: Float32Array, size: number): void;
  /** @throws bad-input if fewer than two vectors were added */
  gaussian(): Gaussian;
}

/** Sums of a batch are taken about its own mean and merged (Chan, Golub, LeVeque 1979): no large squares are subtracted. */
export function createGaussianMeter(): GaussianMeter {
  let count = 0;
  let mean = new Float64Array(0); // [F]
  let scatter = new Float64Array(0); // [F, F], Σ (x − μ)(x − μ)ᵀ, the lower triangle
  return {
    add(features, size) {
      if (count === 0) [mean, scatter] = [new Float64Array(size), new Float64Array(size * size)];
      invariant(
        size > 0 && size === mean.length && features.length % size === 0,
        `expected whole vectors of ${mean.length} features, got ${features.length} values in vectors of ${size}`,
      );
      const rows = features.length / size;
      if (rows === 0) return;
      const batch = meanOf(features, size);
      const centred = new Float64Array(size);
      for (let start = 0; start < features.length; start += size) {
        for (let i = 0; i < size; i++) centred[i] = (features[start + i] ?? 0) - (batch[i] ?? 0);
        addOuterProduct(scatter, centred, 1);
      }
      const total = count + rows;
      for (let i = 0; i < size; i++) centred[i] = (batch[i] ?? 0) - (mean[i] ?? 0);
      addOuterProduct(scatter, centred, (count * rows) / total);
      for (let i = 0; i < size; i++) mean[i] = (mean[i] ?? 0) + ((centred[i] ?? 0) * rows) / total;
      count = total;
    },
    gaussian() {
      if (count < 2) {
        throw badInput({
          what: "too few images for a covariance",
          where: "Fréchet distance",
          expected: "at least 2",
          got: String(count),
        });
      }
      return { count, mean: mean.slice(), covariance: symmetric(scatter, mean.length).map((sum) => sum / (count - 1)) };
    },
  };
}

function meanOf(features: Float32Array, size: number): Float64Array {
  const sums = new Float64Array(size);
  for (let start = 0; start < features.length; start += size) {
    for (let i = 0; i < size; i++) sums[i] = (sums[i] ?? 0) + (features[start + i] ?? 0);
  }
  return sums.map((sum) => (sum * size) / features.length);
}

/** matrix += weight · v vᵀ, in the lower triangle. */
function addOuterProduct(matrix: Float64Array, vector: Float64Array, weight: number): void {
  for (let i = 0; i < vector.length; i++) {
    const scaled = (vector[i] ?? 0) * weight;
    const row = i * vector.length;
    for (let j = 0; j <= i; j++) matrix[row + j] = (matrix[row + j] ?? 0) + scaled * (vector[j] ?? 0);
  }
}

/** The lower triangle, mirrored into the upper one. */
function symmetric(lower: Float64Array, size: number): Float64Array {
  const full = lower.slice();
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) full[j * size + i] = lower[i * size + j] ?? 0;
  return full;
}

/**
 * d², at least 0; the square is what is reported under this name. (Σ₁ Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric: the
 * roots of its eigenvalues. Rounding leaves an error of about 10⁻⁸ of the largest variance for each feature that does not vary; the time
 * grows with F³, from seconds at 512 to minutes at 2,048.
 */
export function frechetDistance(a: Gaussian, b: Gaussian): number {
  const size = a.mean.length;
  invariant(size === b.mean.length, `the Gaussians must be of one length, got ${size} and ${b.mean.length}`);
  let [distance, traces] = [0, 0];
  for (let i = 0; i < size; i++) {
    distance += ((a.mean[i] ?? 0) - (b.mean[i] ?? 0)) ** 2;
    traces += (a.covariance[i * size + i] ?? 0) + (b.covariance[i * size + i] ?? 0);
  }
  const root = squareRoot(Matrix.from1DArray(size, size, a.covariance));
  const product = root.mmul(Matrix.from1DArray(size, size, b.covariance)).mmul(root); // Σ₁^½ Σ₂ Σ₁^½ [F, F]
  const { realEigenvalues } = new EigenvalueDecomposition(product, { assumeSymmetric: true });
  const overlap = realEigenvalues.reduce((sum, eigenvalue) => sum + rootOf(eigenvalue), 0);
  return Math.max(0, distance + traces - 2 * overlap);
}

/** The symmetric S with S · S = `covariance`: V √Λ Vᵀ. */
function squareRoot(covariance: Matrix): Matrix {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(covariance, { assumeSymmetric: true });
  const scaled = eigenvectorMatrix.clone().mulRowVector(realEigenvalues.map(rootOf)); // V √Λ
  return scaled.mmul(eigenvectorMatrix.transpose());
}

/** Eigenvalues of what cannot be negative, but for rounding. */
const rootOf = (eigenvalue: number): number => Math.sqrt(Math.max(0, eigenvalue));
