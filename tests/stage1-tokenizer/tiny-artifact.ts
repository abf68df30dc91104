/** A published tokenizer with first weights: nothing was trained, everything else is real. */
import { Rng } from "../../shared/rng.ts";
import { createBottleneck } from "../../stage1-tokenizer/bottleneck/create-bottleneck.ts";
import type { TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import {
  publishTokenizer,
  type PublishTokenizerOptions,
  type TrainedTokenizer,
} from "../../stage1-tokenizer/export.ts";
import { createPreprocessing } from "../../stage1-tokenizer/images/index.ts";
import { initialTokenizerState, startCodebook } from "../../stage1-tokenizer/training-step.ts";

/** Codes are drawn as far apart as the encoder's first outputs are from each other, so that most of them are chosen. */
export function untrained(config: TokenizerConfig, seed = 2): TrainedTokenizer {
  const rng = Rng.fromSeed(seed);
  const { spec, values } = initialTokenizerState(config, rng.fork("state"));
  const { codebookSize: K, codeDimension: D } = config;
  const clusters = {
    centroids: Float32Array.from(rng.fork("codes").fill(K * D, (stream) => stream.normal() * 0.05)),
    counts: new Float32Array(K).fill(1),
  };
  const bottleneck = createBottleneck(config);
  const start = bottleneck.kind === "discrete" ? bottleneck.kMeansStart : undefined;
  return {
    config,
    preprocessing: createPreprocessing([config.imageSize, config.imageSize]),
    state: { spec, values: start === undefined ? values : startCodebook(start, values, clusters) },
    figures: {
      ...{ mse: 650.25, nmse: 0.5, psnr: 20, ssim: 0.5 },
      ...{ usage: 0.5, codesUsed: K / 2, perplexity: 3.5, bitsPerImage: 48, entropyBitsPerImage: 28.9 },
    },
  };
}

export async function publishUntrained(
  config: TokenizerConfig,
  directory: string,
  options: Partial<PublishTokenizerOptions> & { readonly seed?: number } = {},
): Promise<string> {
  const { seed, ...rest } = options;
  await publishTokenizer(untrained(config, seed), { directory, ...rest });
  return directory;
}

/** The same with ranges for int8, measured on `images` [N, H, W, 3]. */
export async function publishMeasured(
  config: TokenizerConfig,
  directory: string,
  images = tinyImages(16, config.imageSize),
): Promise<string> {
  await publishTokenizer({ ...untrained(config), rangeImages: images }, { directory });
  return directory;
}

/** uint8 [count, 8, 8, 3] of two colours a picture. */
export function tinyImages(count: number, side = 8): Uint8Array {
  const images = Array.from({ length: count }, (_, i) => {
    const rng = Rng.fromSeed(100 + i);
    const colours = rng.fill(6, (stream) => stream.integer(256));
    const slope = rng.uniform() * 2 - 1;
    return Array.from({ length: side * side * 3 }, (_unused, at) => {
      const [x, y] = [Math.floor(at / 3) % side, Math.floor(at / 3 / side)];
      return colours[(at % 3) + (y > side / 2 + slope * x ? 3 : 0)] ?? 0;
    });
  });
  return Uint8Array.from(images.flat());
}
