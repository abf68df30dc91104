/** Figures of a model over a set of images, whoever runs it: an engine during training, a published artefact afterwards. */
import type { Arrays } from "../shared/engine/engine.ts";
import { invariant } from "../shared/errors.ts";
import { imageValuesOf, makesTokens, type TokenizerConfig } from "./config.ts";
import { createLatentMeter, type LatentFigures } from "./latent-metrics.ts";
import { createCodeMeter, createReconstructionMeter, type CodeFigures, type ReconstructionFigures } from "./metrics.ts";

export type TokenizerFigures = ReconstructionFigures & CodeFigures;
/** Of any model: those that its bottleneck has. */
export type ModelFigures = Partial<ReconstructionFigures & CodeFigures & LatentFigures>;

export interface Reconstructed {
  /** [B, H, W, 3], 0 … 255 */
  readonly originals: Uint8Array;
  readonly reconstructions: Uint8Array;
  /** [H, W] */
  readonly size: readonly [height: number, width: number];
  /** [B, h, w] */
  readonly tokens: Int32Array;
}

/** One full pass: errors over all pixels, use of the codes over all tokens. @throws bad-input if `batches` is empty. */
export async function measureTokenizer(
  batches: AsyncIterable<Reconstructed>,
  codebookSize: number,
): Promise<TokenizerFigures> {
  const errors = createReconstructionMeter();
  const codes = createCodeMeter(codebookSize);
  for await (const { originals, reconstructions, size, tokens } of batches) {
    errors.add(originals, reconstructions, size);
    codes.add(tokens, originals.length / (size[0] * size[1] * 3));
  }
  return { ...errors.figures(), ...codes.figures() };
}

export interface ModelMeter {
  /** @param outputs `levels`, and with them `tokens`, or a VAE's `reconstructionNats`, `klNats` and `means` */
  add(originals: Uint8Array, outputs: Arrays): void;
  /** @throws bad-input if nothing was added */
  figures(): ModelFigures;
}

/** The meters that fit a configuration's bottleneck, in one. */
export function createModelMeter(config: TokenizerConfig): ModelMeter {
  const errors = createReconstructionMeter();
  const codes = makesTokens(config) ? createCodeMeter(config.codebookSize) : undefined;
  const latents = createLatentMeter(imageValuesOf(config));
  let hasLatents = false;
  return {
    add(originals, { levels, tokens, reconstructionNats, klNats, means }) {
      invariant(levels !== undefined, "an evaluation must give levels");
      errors.add(originals, Uint8Array.from(levels), [config.imageSize, config.imageSize]);
      if (tokens instanceof Int32Array) codes?.add(tokens, originals.length / imageValuesOf(config));
      if (
        reconstructionNats instanceof Float32Array &&
        klNats instanceof Float32Array &&
        means instanceof Float32Array
      ) {
        latents.add({ reconstructionNats, klNats, means });
        hasLatents = true;
      }
    },
    figures: () => ({ ...errors.figures(), ...codes?.figures(), ...(hasLatents ? latents.figures() : {}) }),
  };
}

/** What training picks its best state by, lower is better: the bound where there is one, else the error. */
export function scoreOf({ bitsPerDim, nmse }: ModelFigures): number {
  return bitsPerDim ?? nmse ?? Infinity;
}
