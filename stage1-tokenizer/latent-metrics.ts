/** Figures of a VAE over a whole set, on the host: the evidence lower bound by its two terms, and which latents say anything. Know no tensor. */
import { badInput, invariant } from "../shared/errors.ts";

export interface LatentFigures {
  /** −E log p(x | z), nats an image, one draw of z each. */
  readonly reconstructionNats: number;
  /** KL(q(z | x) ‖ N(0, 1)), nats an image. */
  readonly klNats: number;
  /** −(reconstructionNats + klNats). */
  readonly elbo: number;
  /** −elbo / (H·W·3 · ln 2). */
  readonly bitsPerDim: number;
  /**
   * Latents whose posterior mean varies over the images by more than 0.01 (Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders",
   * 2016, section 5.2); the others have collapsed to the prior.
   */
  readonly activeUnits: number;
  readonly latentUnits: number;
}

export interface LatentMeter {
  /** Both [B]; `means` [B, latents]. */
  add(batch: { reconstructionNats: Float32Array; klNats: Float32Array; means: Float32Array }): void;
  /** @throws bad-input if nothing was added */
  figures(): LatentFigures;
}

const ACTIVE_VARIANCE = 0.01;

/** @param imageValues H·W·3 */
export function createLatentMeter(imageValues: number): LatentMeter {
  let [images, reconstruction, kl] = [0, 0, 0];
  let sums = new Float64Array(0);
  let squares = new Float64Array(0);
  return {
    add({ reconstructionNats, klNats, means }) {
      const latents = means.length / klNats.length;
      if (images === 0) [sums, squares] = [new Float64Array(latents), new Float64Array(latents)];
      invariant(latents === sums.length, `each image must have ${sums.length} latents, got ${latents}`);
      for (let i = 0; i < means.length; i++) {
        const [unit, mean] = [i % latents, means[i] ?? 0];
        sums[unit] = (sums[unit] ?? 0) + mean;
        squares[unit] = (squares[unit] ?? 0) + mean * mean;
      }
      reconstruction += reconstructionNats.reduce((sum, nats) => sum + nats, 0);
      kl += klNats.reduce((sum, nats) => sum + nats, 0);
      images += klNats.length;
    },
    figures() {
      if (images === 0) throw badInput({ what: "no image to measure", where: "latent metrics" });
      const nats = (reconstruction + kl) / images;
      return {
        reconstructionNats: reconstruction / images,
        klNats: kl / images,
        elbo: -nats,
        bitsPerDim: nats / imageValues / Math.LN2,
        activeUnits: squares.filter((square, i) => square / images - ((sums[i] ?? 0) / images) ** 2 > ACTIVE_VARIANCE)
          .length,
        latentUnits: sums.length,
      };
    },
  };
}
