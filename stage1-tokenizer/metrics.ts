/**
 * Figures of a tokenizer over a whole set, on the host: error between 8-bit images, and use of the codes. Know no tensor.
 */
import { badInput } from "../shared/errors.ts";
import { createSsimMeter } from "./ssim.ts";

export interface ReconstructionFigures {
  /** Mean squared error over every image, pixel and channel, in 8-bit levels squared. */
  readonly mse: number;
  /** mse / the variance of the originals; 1 for the best constant image. */
  readonly nmse: number;
  /** 10 log₁₀(255² / mse) in dB: of the mean error, not the mean of the images' own PSNRs (which is never lower). */
  readonly psnr: number;
  /** Mean structural similarity (ssim.ts), at most 1. */
  readonly ssim: number;
}

export interface CodeFigures {
  /** Fraction of the K codes that occur at all. */
  readonly usage: number;
  readonly codesUsed: number;
  /** e^H of the codes' frequencies, 1 … K. */
  readonly perplexity: number;
  /** h · w · log₂ K: what an image's tokens cost at a fixed length each. */
  readonly bitsPerImage: number;
  /** h · w · log₂ perplexity: with an ideal code for tokens drawn independently at these frequencies. */
  readonly entropyBitsPerImage: number;
}

/** Sums errors batch by batch; `figures` may be asked at any time. */
export interface ReconstructionMeter {
  /** Two arrays [B, H, W, 3], 8-bit levels. @param size [H, W] */
  add(originals: Uint8Array, reconstructions: Uint8Array, size: readonly [height: number, width: number]): void;
  /** @throws bad-input if nothing was added */
  figures(): ReconstructionFigures;
}

export function createReconstructionMeter(): ReconstructionMeter {
  let [count, squaredError, sum, squares] = [0, 0, 0, 0];
  const similarity = createSsimMeter();
  return {
    add(originals, reconstructions, size) {
      similarity.add(originals, reconstructions, size);
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
      const nmse = variance > 0 ? mse / variance : Infinity;
      return { mse, nmse, psnr: psnrOf(mse), ssim: similarity.mean() };
    },
  };
}

/** Peak signal-to-noise ratio in dB of a mean squared error in 8-bit levels squared; Infinity for 0. */
export function psnrOf(mse: number): number {
  return 10 * Math.log10(255 ** 2 / mse);
}

/** Counts tokens batch by batch over a full pass. */
export interface CodeMeter {
  /** @param tokens [B, h, w], ids 0 … K−1. @param images B. @throws bad-input for any other id */
  add(tokens: Int32Array, images: number): void;
  figures(): CodeFigures;
}

export function createCodeMeter(codebookSize: number): CodeMeter {
  const counts = new Float64Array(codebookSize);
  let images = 0;
  return {
    add(tokens, more) {
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
      images += more;
    },
    figures: () => codeFigures(counts, images),
  };
}

function codeFigures(counts: Float64Array, images: number): CodeFigures {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let [codesUsed, entropy] = [0, 0];
  for (const count of counts) {
    if (count === 0) continue;
    codesUsed++;
    entropy -= (count / total) * Math.log(count / total);
  }
  const tokensPerImage = images === 0 ? 0 : total / images;
  return {
    usage: codesUsed / counts.length,
    codesUsed,
    perplexity: total === 0 ? 0 : Math.exp(entropy),
    bitsPerImage: tokensPerImage * Math.log2(counts.length),
    entropyBitsPerImage: tokensPerImage * (entropy / Math.LN2),
  };
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
