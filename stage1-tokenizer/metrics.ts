/**
 * Figures of a tokenizer over a whole set, on the host: error between 8-bit images, and use of the codes. Know no tensor.
 */
import { badInput, invariant } from "../shared/errors.ts";

export interface ReconstructionFigures {
  /** Mean squared error over every image, pixel and channel, in 8-bit levels squared. */
  readonly mse: number;
  /** mse / the variance of the originals; 1 for the best constant image. */
  readonly nmse: number;
  /** 10 log₁₀(255² / mse) in dB: of the mean error, not the mean of the images' own PSNRs (which is never lower). */
  readonly psnr: number;
}

export interface CodeFigures {
  /** Fraction of the K codes that occur at all. */
  readonly usage: number;
  readonly codesUsed: number;
  /** e^H of the codes' frequencies, 1 … K. */
  readonly perplexity: number;
}

/** Sums errors batch by batch; `figures` may be asked at any time. */
export interface ReconstructionMeter {
  /** Two arrays of equal length, 8-bit levels. */
  add(originals: Uint8Array, reconstructions: Uint8Array): void;
  /** @throws bad-input if nothing was added */
  figures(): ReconstructionFigures;
}

export function createReconstructionMeter(): ReconstructionMeter {
  let [count, squaredError, sum, squares] = [0, 0, 0, 0];
  return {
    add(originals, reconstructions) {
      invariant(
        originals.length === reconstructions.length,
        `originals and reconstructions must be equally long, got ${originals.length} and ${reconstructions.length}`,
      );
      for (let i = 0; i < originals.length; i++) {
        const x = originals[i] ?? 0;
        const error = x - (reconstructions[i] ?? 0);
        squaredError += error * error;
        sum += x;
        squares += x * x;
      }
      count += originals.length;
    },
    figures() {
      if (count === 0) throw badInput({ what: "no image to measure", where: "reconstruction metrics" });
      const mse = squaredError / count;
      const variance = squares / count - (sum / count) ** 2;
      return { mse, nmse: variance > 0 ? mse / variance : Infinity, psnr: psnrOf(mse) };
    },
  };
}

/** Peak signal-to-noise ratio in dB of a mean squared error in 8-bit levels squared; Infinity for 0. */
export function psnrOf(mse: number): number {
  return 10 * Math.log10(255 ** 2 / mse);
}

/** Counts tokens batch by batch over a full pass. */
export interface CodeMeter {
  /** Ids 0 … K−1. @throws bad-input for any other */
  add(tokens: Int32Array): void;
  figures(): CodeFigures;
}

export function createCodeMeter(codebookSize: number): CodeMeter {
  const counts = new Float64Array(codebookSize);
  return {
    add(tokens) {
      for (const token of tokens) {
        const before = counts[token];
        if (before === undefined)
          throw badInput({
            what: "not an id of the codebook",
            expected: `0 … ${codebookSize - 1}`,
            got: String(token),
          });
        counts[token] = before + 1;
      }
    },
    figures: () => codeFigures(counts),
  };
}

function codeFigures(counts: Float64Array): CodeFigures {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let [codesUsed, entropy] = [0, 0];
  for (const count of counts) {
    if (count === 0) continue;
    codesUsed++;
    entropy -= (count / total) * Math.log(count / total);
  }
  return { usage: codesUsed / counts.length, codesUsed, perplexity: total === 0 ? 0 : Math.exp(entropy) };
}

/** Variance of all values of `images` on the 0 … 1 scale: what the reconstruction loss is divided by. */
export function pixelVariance(images: Iterable<Uint8Array>): number {
  let [count, sum, squares] = [0, 0, 0];
  for (const image of images) {
    for (const level of image) {
      sum += level;
      squares += level * level;
    }
    count += image.length;
  }
  if (count === 0) throw badInput({ what: "no image to measure", where: "data variance" });
  return (squares / count - (sum / count) ** 2) / 255 ** 2;
}
