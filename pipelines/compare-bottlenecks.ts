/**
 * Every bottleneck with the same images, seed and number of steps: trained, published, measured on the held-out images, and its gradient
 * estimator's noise measured before and after. What was published already is not made again.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { openArtifact } from "../shared/artifact.ts";
import type { Engine } from "../shared/engine/engine.ts";
import { badInput } from "../shared/errors.ts";
import type { SessionOptions } from "../shared/onnx/session.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  createPreprocessing,
  loadAutoencoder,
  loadTokenizer,
  loadTokenizerTraining,
  streamImages,
  type BottleneckName,
  type ModelFigures,
  type Preprocessing,
  type RecordSet,
  type Tile,
  type TokenizerConfig,
} from "../stage1-tokenizer/index.ts";
import { runDirectory } from "./artifacts.ts";
import { toTiles } from "./sheets.ts";
import { takeEvenly } from "./sources.ts";
import { checkFinished } from "./training-options.ts";

export interface CompareOptions {
  readonly bottlenecks: readonly BottleneckName[];
  readonly configOf: (bottleneck: BottleneckName) => TokenizerConfig;
  readonly training: RecordSet;
  readonly heldOut: RecordSet;
  readonly directory: string;
  readonly seed: number;
  /** Draws of the bottleneck's noise that the estimator's variance is taken over. */
  readonly draws: number;
  /** Held-out images on the sheet. */
  readonly tiles: number;
  readonly engine: Engine;
  readonly threads: SessionOptions;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

export interface Compared {
  readonly bottleneck: BottleneckName;
  readonly figures: ModelFigures;
  /** Bits an image: of the tokens, or the KL divergence of a VAE; undefined where nothing bounds it. */
  readonly rate: number | undefined;
  /** Variance of the encoder's gradient over draws / squared norm of its mean, at the first weights and at the last. */
  readonly noiseBefore: number;
  readonly noiseAfter: number;
  /** Of training, with the evaluation at its end; of its last part if it was interrupted. */
  readonly seconds: number;
  readonly reconstructions: readonly Tile[];
}

export interface Comparison {
  readonly originals: readonly Tile[];
  readonly rows: readonly Compared[];
}

/** @throws as training does; the signal's reason if interrupted: the same call goes on with what is missing */
export async function compareBottlenecks(options: CompareOptions): Promise<Comparison> {
  const rows: Compared[] = [];
  let originals: readonly Tile[] = [];
  for (const bottleneck of options.bottlenecks) {
    const directory = join(options.directory, bottleneck);
    if (!existsSync(directory)) await trainOne(options, bottleneck, directory);
    options.signal.throwIfAborted();
    const { manifest } = await openArtifact(directory);
    const { noiseBefore = NaN, noiseAfter = NaN, seconds = NaN, ...figures } = manifest.provenance.metrics ?? {};
    const pairs = await reconstructSome(options, directory);
    originals = pairs.originals;
    rows.push({
      bottleneck,
      figures,
      rate: rateOf(figures),
      noiseBefore,
      noiseAfter,
      seconds,
      reconstructions: pairs.reconstructions,
    });
  }
  return { originals, rows };
}

function rateOf({ bitsPerImage, klNats }: ModelFigures): number | undefined {
  return bitsPerImage ?? (klNats === undefined ? undefined : klNats / Math.LN2);
}

async function trainOne(options: CompareOptions, bottleneck: BottleneckName, directory: string): Promise<void> {
  const { engine, seed, draws, reporter, signal, training, heldOut } = options;
  const { estimatorNoise, publishTokenizer, trainTokenizer } = await loadTokenizerTraining();
  const config = options.configOf(bottleneck);
  const images = await firstBatch(training, config);
  reporter.note(`${bottleneck}: ${config.steps} steps`);
  const noiseBefore = await estimatorNoise({ config, engine, images, seed, draws });
  const start = performance.now();
  const run = await trainTokenizer({
    config,
    training,
    heldOut,
    engine,
    seed,
    reporter,
    signal,
    folder: { directory: runDirectory(directory), every: 250, resume: true },
  });
  const seconds = (performance.now() - start) / 1000;
  checkFinished(run, { signal, reporter, folder: { directory: runDirectory(directory) } });
  const noiseAfter = await estimatorNoise({ config, engine, images, seed, draws, state: run.state });
  await publishTokenizer(run, {
    directory,
    provenance: {
      seed,
      engine: engine.description,
      steps: run.step,
      from: { training: training.count, heldOut: heldOut.count },
      metrics: { noiseBefore: noiseBefore.relative, noiseAfter: noiseAfter.relative, seconds },
    },
  });
}

/** [B, H, W, 3] spread over the training set. */
async function firstBatch(training: RecordSet, { imageSize, batchSize }: TokenizerConfig): Promise<Uint8Array> {
  const records = takeEvenly(training, batchSize).records();
  const preprocessing = createPreprocessing([imageSize, imageSize]);
  const batches: Uint8Array[] = [];
  for await (const { images } of streamImages({ records, preprocessing, batchSize })) batches.push(images);
  const [images] = batches;
  if (images?.length === batchSize * imageSize * imageSize * 3) return images;
  throw badInput({ what: "there are fewer images than a batch holds", expected: `at least ${batchSize}`, got: String(training.count) }); // prettier-ignore
}

/** Held-out images and what the published graphs make of them. */
async function reconstructSome(
  { heldOut, tiles, threads }: CompareOptions,
  directory: string,
): Promise<{ originals: Tile[]; reconstructions: Tile[] }> {
  const model = await openEither(directory, threads);
  const records = takeEvenly(heldOut, tiles).records();
  const [originals, reconstructions]: [Tile[], Tile[]] = [[], []];
  try {
    for await (const { images } of streamImages({ records, preprocessing: model.preprocessing, batchSize: tiles })) {
      originals.push(...toTiles(images, model.imageSize));
      reconstructions.push(...toTiles(await model.encodeDecode(images), model.imageSize));
    }
  } finally {
    await model.dispose();
  }
  return { originals, reconstructions };
}

/** A published model, as far as the two kinds are alike. */
interface EitherModel {
  readonly imageSize: readonly [height: number, width: number];
  readonly preprocessing: Preprocessing;
  readonly encodeDecode: (images: Uint8Array) => Promise<Uint8Array>;
  readonly dispose: () => Promise<void>;
}

async function openEither(directory: string, threads: SessionOptions): Promise<EitherModel> {
  const { manifest } = await openArtifact(directory);
  if (manifest.kind === "autoencoder") {
    const model = await loadAutoencoder(directory, threads);
    return {
      imageSize: model.imageSize,
      preprocessing: model.preprocessing,
      encodeDecode: async (images) => model.decode(await model.encode(images)),
      dispose: () => model.dispose(),
    };
  }
  const model = await loadTokenizer(directory, threads);
  return {
    imageSize: model.spec.imageSize,
    preprocessing: model.preprocessing,
    encodeDecode: async (images) => model.decode(await model.encode(images)),
    dispose: () => model.dispose(),
  };
}
