/**
 * A published model without tokens, ready to use: images to continuous latents and back. Runs the artefact's graphs; loads no TensorFlow.js and
 * knows nothing of training.
 */
import { badInput } from "../shared/errors.ts";
import type { SessionOptions } from "../shared/onnx/session.ts";
import { isVariational, latentShapeOf } from "./config.ts";
import type { Preprocessing } from "./images/index.ts";
import { chunks, countImages, expectData, openModel } from "./model-artifact.ts";

export interface Autoencoder {
  readonly directory: string;
  /** [H, W] */
  readonly imageSize: readonly [height: number, width: number];
  /** Sizes of one image's latent: [h, w, D] or [D]. */
  readonly latentShape: readonly number[];
  /** True of a VAE: standard normal latents decode to images like those it learnt. */
  readonly variational: boolean;
  /** How images must be prepared before `encode`. */
  readonly preprocessing: Preprocessing;
  /**
   * @param images uint8 [N, H, W, 3], sRGB
   * @returns float32 [N, …latentShape]; a VAE's posterior means
   * @throws bad-input if the array does not hold whole images
   */
  encode(images: Uint8Array): Promise<Float32Array>;
  /**
   * @param latents float32 [N, …latentShape]
   * @returns uint8 [N, H, W, 3]
   * @throws bad-input if the array does not hold whole latents
   */
  decode(latents: Float32Array): Promise<Uint8Array>;
  dispose(): Promise<void>;
}

/** @throws as `loadTokenizer`, for a folder that holds no autoencoder */
export async function loadAutoencoder(directory: string, options: SessionOptions = {}): Promise<Autoencoder> {
  const model = await openModel(directory, "autoencoder", options);
  const { config, preprocessing } = model;
  const imageSize = [config.imageSize, config.imageSize] as const;
  const latentShape = latentShapeOf(config);
  const sizes = { image: [...imageSize, 3], latent: latentShape };
  const [encoder, decoder] = [await model.encoder(sizes), model.decoder(sizes)];
  const imageLength = imageSize[0] * imageSize[1] * 3;
  const latentLength = latentShape.reduce((length, size) => length * size, 1);
  return {
    directory,
    imageSize,
    latentShape,
    variational: isVariational(config.bottleneck),
    preprocessing,
    async encode(images) {
      const count = countImages(images, imageSize, "Autoencoder.encode");
      const latents = new Float32Array(count * latentLength);
      for (const [start, size] of chunks(count)) {
        const data = images.subarray(start * imageLength, (start + size) * imageLength);
        const { latent } = await encoder.run({ image: { type: "uint8", shape: [size, ...imageSize, 3], data } });
        latents.set(expectData(latent?.data, Float32Array), start * latentLength);
      }
      return latents;
    },
    async decode(latents) {
      const count = latents.length / latentLength;
      if (!Number.isInteger(count)) {
        const expected = `a multiple of ${latentShape.join("×")} = ${latentLength} values`;
        throw badInput({ what: "values do not fill whole latents", where: "Autoencoder.decode", expected, got: String(latents.length) }); // prettier-ignore
      }
      const session = await decoder.get();
      const images = new Uint8Array(count * imageLength);
      for (const [start, size] of chunks(count)) {
        const data = latents.subarray(start * latentLength, (start + size) * latentLength);
        const { image } = await session.run({ latent: { type: "float32", shape: [size, ...latentShape], data } });
        images.set(expectData(image?.data, Uint8Array), start * imageLength);
      }
      return images;
    },
    dispose: async () => {
      await Promise.all([encoder.dispose(), decoder.dispose()]);
    },
  };
}
