/** Every figure of a published tokenizer over a set of images, in one pass; and how fast images come in and tokens come out. */
import type { Reporter } from "../shared/train/reporter.ts";
import {
  createGaussianMeter,
  frechetDistance,
  measureTokenizer,
  streamImages,
  type FeatureExtractor,
  type ImageFailure,
  type Reconstructed,
  type Records,
  type Tokenizer,
  type TokenizerFigures,
} from "../stage1-tokenizer/index.ts";
import { reconstructions } from "./reconstruct.ts";

export interface EvaluateOptions {
  readonly tokenizer: Tokenizer;
  readonly records: Records;
  /** What the Fréchet distance is measured on; none, no distance. */
  readonly features?: FeatureExtractor | undefined;
  readonly batchSize?: number;
  readonly onFailure: (failure: ImageFailure) => void;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

export interface Evaluation {
  /** Images measured: those that could be decoded. */
  readonly images: number;
  /** Records that could not. */
  readonly failures: number;
  readonly figures: TokenizerFigures;
  /** Bits an image / (H · W). */
  readonly bitsPerPixel: number;
  readonly entropyBitsPerPixel: number;
  /** Undefined without features, or of a single image. */
  readonly frechet: Frechet | undefined;
  readonly throughput: Throughput;
}

/** Between originals and reconstructions. */
export interface Frechet {
  /** d², as it is commonly reported. */
  readonly distance: number;
  /** The extractor's name. */
  readonly features: string;
  /** F; from fewer images than this the covariance is singular. */
  readonly featureSize: number;
}

/** Of two passes over the same images, one after the other, so that neither hides behind the other. */
export interface Throughput {
  readonly images: number;
  /** Reading, decoding and preprocessing. */
  readonly sourceSeconds: number;
  readonly encodeSeconds: number;
}

const BATCH_SIZE = 16;
/** What is timed is held in memory in between. */
const TIMED_IMAGES = 512;
const TIMED_BYTES = 2 ** 28;

/** @throws bad-input if no image can be decoded; mismatch if the extractor returns no features of them; the signal's reason. */
export async function evaluateTokenizer(options: EvaluateOptions): Promise<Evaluation> {
  const { tokenizer, records, features, reporter } = options;
  const failed = new Set<string>();
  const onFailure = (failure: ImageFailure): void => {
    if (!failed.has(failure.key)) options.onFailure(failure);
    failed.add(failure.key);
  };
  const throughput = await measureThroughput({ ...options, onFailure });
  const [height, width] = tokenizer.spec.imageSize;
  const frechet = features === undefined ? undefined : createFrechetMeter(features);
  let images = 0;
  async function* passes(): AsyncGenerator<Reconstructed> {
    for await (const batch of reconstructions({ ...options, records: records.records(), onFailure })) {
      const count = batch.originals.length / (height * width * 3);
      await frechet?.add(batch, count);
      reporter.progress((images += count));
      yield batch;
    }
  }
  reporter.start("evaluate", records.count, { unitsPerStep: { count: 1, unit: "images" } });
  const figures = await measureTokenizer(passes(), tokenizer.spec.codebookSize);
  reporter.finish();
  if (frechet !== undefined && images < 2) reporter.warn("no Fréchet distance: it takes two images at least");
  return {
    images,
    failures: failed.size,
    figures,
    bitsPerPixel: figures.bitsPerImage / (height * width),
    entropyBitsPerPixel: figures.entropyBitsPerImage / (height * width),
    frechet: images < 2 ? undefined : frechet?.result(reporter),
    throughput,
  };
}

function createFrechetMeter(extractor: FeatureExtractor) {
  const [originals, decoded] = [createGaussianMeter(), createGaussianMeter()];
  let featureSize = 0;
  return {
    async add(batch: Reconstructed, count: number): Promise<void> {
      for (const [images, meter] of [
        [batch.originals, originals],
        [batch.reconstructions, decoded],
      ] as const) {
        const { features, size } = await extractor.extract(images, count);
        meter.add(features, size);
        featureSize = size;
      }
    },
    result(reporter: Reporter): Frechet {
      const [a, b] = [originals.gaussian(), decoded.gaussian()];
      if (a.count <= featureSize) {
        reporter.warn(`Fréchet distance: ${a.count} images for ${featureSize} features give a singular covariance`);
      }
      return { distance: frechetDistance(a, b), features: extractor.name, featureSize };
    },
  };
}

/** Decodes the first images with nothing else going on, then encodes them; one batch beforehand makes the encoder ready. */
async function measureThroughput(options: EvaluateOptions): Promise<Throughput> {
  const { tokenizer, onFailure, batchSize = BATCH_SIZE, signal } = options;
  const { preprocessing, spec } = tokenizer;
  const fitting = Math.floor(TIMED_BYTES / (spec.imageSize[0] * spec.imageSize[1] * 3));
  const batches: Uint8Array[] = [];
  const records = options.records.records();
  let images = 0;
  const sourceStart = performance.now();
  for await (const batch of streamImages({ records, preprocessing, batchSize, onFailure })) {
    signal.throwIfAborted();
    batches.push(batch.images);
    images += batch.keys.length;
    if (images >= Math.min(TIMED_IMAGES, fitting)) break;
  }
  const sourceSeconds = (performance.now() - sourceStart) / 1000;
  for (const batch of batches.slice(0, 1)) await tokenizer.encode(batch);
  const encodeStart = performance.now();
  for (const batch of batches) {
    signal.throwIfAborted();
    await tokenizer.encode(batch);
  }
  return { images, sourceSeconds, encodeSeconds: (performance.now() - encodeStart) / 1000 };
}
