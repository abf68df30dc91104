/**
 * Every bottleneck with the same images, seed and number of steps: trained, published, measured on the held-out images, and its gradient
 * estimator's noise measured before and after. What was published already by the same options is not made again.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { openArtifact } from "../shared/artifact.ts";
import type { Engine } from "../shared/engine/engine.ts";
import { mismatch } from "../shared/errors.ts";
import { canonicalJson, type JsonObject } from "../shared/fingerprint.ts";
import type { SessionOptions } from "../shared/onnx/session.ts";
import { Rng } from "../shared/rng.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  type BottleneckName,
  createBatches,
  createPreprocessing,
  describeImageFailure,
  type ImageFailure,
  loadAutoencoder,
  loadTokenizer,
  loadTokenizerTraining,
  type ModelFigures,
  orderOf,
  type Preprocessing,
  type RecordSet,
  SHUFFLE_BUFFER,
  streamImages,
  takeEvenly,
  type Tile,
  type TokenizerConfig,
} from "../stage1-tokenizer/index.ts";
import { runDirectory } from "./artifacts.ts";
import { toTiles } from "./sheets.ts";
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
  /** Variance of the encoder's gradient over draws / squared norm of its mean, at the first weights and at the last; at most `noiseDraws`. */
  readonly noiseBefore: number;
  readonly noiseAfter: number;
  readonly noiseDraws: number;
  /** Of training, with the evaluation at its end; of its last part if it was interrupted. */
  readonly seconds: number;
  readonly reconstructions: readonly Tile[];
}

export interface Comparison {
  readonly originals: readonly Tile[];
  readonly rows: readonly Compared[];
}

/**
 * @throws as training does; usage, before any work, if a bottleneck does not take the configuration; mismatch if a model of other options is in
 * the folder; the signal's reason if interrupted: the same call goes on with what is missing
 */
export async function compareBottlenecks(options: CompareOptions): Promise<Comparison> {
  const entries = options.bottlenecks.map((bottleneck) => ({
    bottleneck,
    config: options.configOf(bottleneck),
    directory: join(options.directory, bottleneck),
  }));
  for (const entry of entries) await checkPublished(options, entry);
  const rows: Compared[] = [];
  let originals: readonly Tile[] = [];
  for (const entry of entries) {
    const { bottleneck, directory } = entry;
    if (!existsSync(directory)) await trainOne(options, entry);
    options.signal.throwIfAborted();
    const { manifest } = await openArtifact(directory);
    const metrics = manifest.provenance.metrics ?? {};
    const { noiseBefore = NaN, noiseAfter = NaN, noiseDraws = NaN, seconds = NaN, ...figures } = metrics;
    const pairs = await reconstructSome(options, directory);
    originals = pairs.originals;
    const { reconstructions } = pairs;
    const noise = { noiseBefore, noiseAfter, noiseDraws };
    rows.push({ bottleneck, figures, rate: rateOf(figures), ...noise, seconds, reconstructions });
  }
  return { originals, rows };
}

/** A bottleneck's place in the comparison. */
interface Entry {
  readonly bottleneck: BottleneckName;
  readonly config: TokenizerConfig;
  readonly directory: string;
}

/** What the models of one comparison share, and a published one records. */
const origin = ({ seed, training, heldOut }: CompareOptions) => ({
  seed,
  from: {
    training: { count: training.count, digest: training.digest },
    heldOut: { count: heldOut.count, digest: heldOut.digest },
  },
});

/** Rows of other images, seeds or settings would stand side by side as if they could be compared. */
async function checkPublished(options: CompareOptions, { config, directory }: Entry): Promise<void> {
  if (!existsSync(directory)) return;
  const { manifest } = await openArtifact(directory);
  const { seed = null, from = null } = manifest.provenance;
  const wanted = origin(options);
  const changed = differences(
    { ...config, seed: wanted.seed, images: wanted.from },
    { ...(manifest.config as JsonObject), seed, images: from },
  );
  if (changed.length === 0) return;
  throw mismatch({
    what: `was made with other options: ${changed.join(", ")}`,
    where: directory,
    todo: "Give the options it was made with, or another folder with --out",
  });
}

/** Names of the entries that are not alike. */
function differences(wanted: JsonObject, got: JsonObject): string[] {
  const text = (of: JsonObject, name: string): string => canonicalJson(of[name] ?? null);
  return Object.keys({ ...wanted, ...got }).filter((name) => text(wanted, name) !== text(got, name));
}

function rateOf({ bitsPerImage, klNats }: ModelFigures): number | undefined {
  return bitsPerImage ?? (klNats === undefined ? undefined : klNats / Math.LN2);
}

async function trainOne(options: CompareOptions, { bottleneck, config, directory }: Entry): Promise<void> {
  const { engine, seed, draws, reporter, signal, training, heldOut } = options;
  const { estimatorNoise, publishTokenizer, trainTokenizer } = await loadTokenizerTraining();
  const images = await someBatch(options, config);
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
      ...origin(options),
      engine: engine.description,
      steps: run.step,
      metrics: { noiseBefore: noiseBefore.relative, noiseAfter: noiseAfter.relative, noiseDraws: draws, seconds },
    },
  });
}

/** [B, H, W, 3] at random from the training set, as training draws them: in place of an image that cannot be decoded stands another. */
async function someBatch(options: CompareOptions, { imageSize, batchSize }: TokenizerConfig): Promise<Uint8Array> {
  const rng = Rng.fromSeed(options.seed).fork("comparison");
  const batches = createBatches({
    order: await orderOf(options.training, { rng, shuffleBuffer: SHUFFLE_BUFFER }),
    preprocessing: createPreprocessing([imageSize, imageSize]),
    batchSize,
    onFailure: () => undefined, // training warns of it
  });
  try {
    return (await batches.batch(0)).images;
  } finally {
    await batches.close();
  }
}

/** Held-out images and what the published graphs make of them. */
async function reconstructSome(
  { heldOut, tiles, threads, reporter }: CompareOptions,
  directory: string,
): Promise<{ originals: Tile[]; reconstructions: Tile[] }> {
  const model = await openEither(directory, threads);
  const records = takeEvenly(heldOut, tiles).records();
  const onFailure = (failure: ImageFailure): void => reporter.warn(describeImageFailure(failure));
  const { preprocessing } = model;
  const [originals, reconstructions]: [Tile[], Tile[]] = [[], []];
  try {
    for await (const { images } of streamImages({ records, preprocessing, batchSize: tiles, onFailure })) {
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
