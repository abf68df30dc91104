/**
 * Structural similarity of 8-bit RGB images (Wang, Bovik, Sheikh, Simoncelli 2004, "Image quality assessment: from error visibility to
 * structural similarity", IEEE TIP 13(4), eq. 13). On the host; knows no tokenizer.
 *
 * In every window, with weights w of an 11×11 Gaussian of σ = 1.5 that sum to 1:
 * SSIM(x, y) = (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)), C1 = (0.01 L)², C2 = (0.03 L)², L = 255;
 * μ, σ², σxy are the weighted means, variances and covariance, not corrected for bias. R, G and B are measured alone, on windows that
 * lie inside the image, and the figure is the mean over windows, channels and images. Nothing is shrunk or turned grey beforehand.
 * An image with a side under 11 px gets the largest odd window that fits, of the same σ: such figures compare only among themselves.
 */
import { badInput, invariant } from "../shared/errors.ts";

const WINDOW = 11;
const SIGMA = 1.5;
const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;
const CHANNELS = 3;

/** Sums similarities image by image; `mean` may be asked at any time. */
export interface SsimMeter {
  /** Two arrays [B, H, W, 3], 8-bit levels. @param size [H, W] */
  add(originals: Uint8Array, reconstructions: Uint8Array, size: readonly [height: number, width: number]): void;
  /** At most 1, which only equal images reach. @throws bad-input if nothing was added */
  mean(): number;
}

export function createSsimMeter(): SsimMeter {
  let [count, sum] = [0, 0];
  let measure: Measure | undefined;
  return {
    add(originals, reconstructions, size) {
      const length = size[0] * size[1] * CHANNELS;
      invariant(
        originals.length === reconstructions.length && length > 0 && originals.length % length === 0,
        `expected whole images of ${size.join("×")} px in both arrays, got ${originals.length} and ${reconstructions.length} values`,
      );
      if (measure?.size.join() !== size.join()) measure = createMeasure(size);
      for (let start = 0; start < originals.length; start += length) {
        sum += measure.of(originals.subarray(start, start + length), reconstructions.subarray(start, start + length));
        count++;
      }
    },
    mean() {
      if (count === 0) throw badInput({ what: "no image to measure", where: "structural similarity" });
      return sum / count;
    },
  };
}

interface Measure {
  readonly size: readonly [height: number, width: number];
  /** Mean similarity of two images [H, W, 3]. */
  of(x: Uint8Array, y: Uint8Array): number;
}

/** Holds the arrays that every image of one size needs. */
function createMeasure(size: readonly [height: number, width: number]): Measure {
  const smallest = Math.min(...size, WINDOW);
  const weights = gaussian(smallest % 2 === 1 ? smallest : smallest - 1);
  const smooth = createFilter(size, weights);
  const length = size[0] * size[1] * CHANNELS;
  const array = (): Float64Array => new Float64Array(length);
  const [xs, ys, squares, products] = [array(), array(), array(), array()] as const;
  return {
    size,
    of(x, y) {
      for (let i = 0; i < length; i++) {
        const [a, b] = [x[i] ?? 0, y[i] ?? 0];
        xs[i] = a;
        ys[i] = b;
        squares[i] = a * a + b * b;
        products[i] = a * b;
      }
      return meanSimilarity(smooth(xs), smooth(ys), smooth(squares), smooth(products));
    },
  };
}

/** From the windows' means of x, y, x² + y² and xy. */
function meanSimilarity(xs: Float64Array, ys: Float64Array, squares: Float64Array, products: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < xs.length; i++) {
    const [meanX, meanY] = [xs[i] ?? 0, ys[i] ?? 0];
    const meanSquares = meanX * meanX + meanY * meanY;
    const meanProduct = meanX * meanY;
    const variances = (squares[i] ?? 0) - meanSquares;
    const covariance = (products[i] ?? 0) - meanProduct;
    sum += ((2 * meanProduct + C1) * (2 * covariance + C2)) / ((meanSquares + C1) * (variances + C2));
  }
  return sum / xs.length;
}

/** Weights of a one-dimensional window; the 11×11 Gaussian is their outer product. */
function gaussian(window: number): Float64Array {
  const raw = Float64Array.from({ length: window }, (_, i) =>
    Math.exp(-((i - (window - 1) / 2) ** 2) / (2 * SIGMA ** 2)),
  );
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => weight / total);
}

/** Weighted means of all windows inside an image: [H, W, 3] → [H − k + 1, W − k + 1, 3], along columns first and then along rows. */
function createFilter([height, width]: Measure["size"], weights: Float64Array): (image: Float64Array) => Float64Array {
  const rows = height - weights.length + 1;
  const wide = width * CHANNELS;
  const narrow = (width - weights.length + 1) * CHANNELS;
  const columns = new Float64Array(rows * wide); // [H − k + 1, W, 3]
  return (image) => {
    weigh(weights, wide, image, columns);
    const means = new Float64Array(rows * narrow); // [H − k + 1, W − k + 1, 3]
    for (let row = 0; row < rows; row++) {
      weigh(
        weights,
        CHANNELS,
        columns.subarray(row * wide, (row + 1) * wide),
        means.subarray(row * narrow, (row + 1) * narrow),
      );
    }
    return means;
  };
}

/** to[i] = Σₜ weights[t] · from[i + t · step] */
function weigh(weights: Float64Array, step: number, from: Float64Array, to: Float64Array): void {
  for (let i = 0; i < to.length; i++) {
    let sum = 0;
    for (let t = 0; t < weights.length; t++) sum += (weights[t] ?? 0) * (from[i + t * step] ?? 0);
    to[i] = sum;
  }
}
