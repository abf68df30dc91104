/**
 * Trains a tokenizer: images in, state and held-out figures out. Reads top to bottom as the method does: prepare the images, start the
 * codebook at k-means of the encoder's outputs, run the steps, measure. Knows no command line and publishes nothing.
 */
import { canonicalJson, sha256Hex } from "../shared/fingerprint.ts";
import type { InitialState } from "../shared/nn/state.ts";
import { Rng } from "../shared/rng.ts";
import { runLoop, type Batch, type Metrics } from "../shared/train/loop.ts";
import { createRecentMeans } from "../shared/train/recent-means.ts";
import { keepRun, startingPoint, stepsForTime, type RunEnd, type RunOptions } from "../shared/train/run.ts";
import type { tf } from "../shared/engine/tf.ts";
import type { KMeansStart } from "./bottleneck/bottleneck.ts";
import { createBottleneck } from "./bottleneck/create-bottleneck.ts";
import { kMeans } from "./bottleneck/k-means.ts";
import { makesTokens, type TokenizerConfig } from "./config.ts";
import { scoreOf, type ModelFigures } from "./evaluate.ts";
import type { TrainedTokenizer } from "./export.ts";
import { createEvaluator } from "./held-out.ts";
import {
  augment,
  createBatches,
  createPreprocessing,
  describeImageFailure,
  orderOf,
  SHUFFLE_BUFFER,
  type Batches,
  type Preprocessing,
  type RecordSet,
} from "./images/index.ts";
import { pixelVariance } from "./metrics.ts";
import { imagesToZE } from "./model/tokenize.ts";
import { takeRangeImages } from "./ranges.ts";
import { createTokenizerStep, initialTokenizerState, startCodebook, tokenizerBatch } from "./training-step.ts";

export interface TrainTokenizerOptions extends RunOptions {
  readonly config: TokenizerConfig;
  /** By default: cover, Lanczos-3, white background, at the config's size. */
  readonly preprocessing?: Preprocessing;
  readonly training: RecordSet;
  /** Measured on; the training images themselves where there is none. */
  readonly heldOut: RecordSet;
  /** Records kept in memory to shuffle among; `SHUFFLE_BUFFER` unless told. */
  readonly shuffleBuffer?: number;
  /** Steps between evaluations on the held-out images; at the end only unless told. */
  readonly evaluateEvery?: number;
  /** Which state is the result: the last, unless told otherwise, or the one that was best on the held-out images. */
  readonly keep?: "last" | "best";
  /** Told of every evaluation after `step` finished steps: held-out figures, and the training's as means over its last 100 steps. */
  readonly onEvaluation?: (step: number, heldOut: ModelFigures, training: Metrics) => void;
}

/** A finished run, or one that was interrupted and left its checkpoint. `step` counts finished steps. */
export type TokenizerRun = (TrainedTokenizer & RunEnd<false>) | RunEnd<true>;

const LABEL = "tokenizer";

/** Images the reconstruction loss's variance is measured on, and images whose codes start the codebook. */
const VARIANCE_IMAGES = 512;
const K_MEANS_IMAGES = 128;
/** Steps whose figures are averaged for reports. */
const RECENT_STEPS = 100;

/** @throws bad-input if no image can be decoded; numerical if the loss stops being finite; mismatch if a checkpoint is of another run. */
export async function trainTokenizer(options: TrainTokenizerOptions): Promise<TokenizerRun> {
  const { reporter, seed, shuffleBuffer = SHUFFLE_BUFFER } = options;
  const rng = Rng.fromSeed(seed).fork("tokenizer");
  const preprocessing =
    options.preprocessing ?? createPreprocessing([options.config.imageSize, options.config.imageSize]);
  const batches = createBatches({
    order: await orderOf(options.training, { rng: rng.fork("images"), shuffleBuffer }),
    preprocessing,
    batchSize: options.config.batchSize,
    onFailure: (failure) => reporter.warn(describeImageFailure(failure)),
  });
  try {
    const variance = await measureVariance(batches, options.config);
    const config = await withSteps(options, { rng, batches, variance });
    const configFingerprint = runFingerprint(options, config, preprocessing);
    const start = await startingPoint({
      label: LABEL,
      folder: options.folder,
      configFingerprint,
      fresh: () => freshState({ ...options, config }, { rng, batches }),
      reporter,
    });
    return await runSteps(options, { config, preprocessing, configFingerprint, start, rng, batches, variance });
  } finally {
    await batches.close();
  }
}

interface Started extends Prepared {
  readonly config: TokenizerConfig;
  readonly preprocessing: Preprocessing;
  readonly configFingerprint: string;
  readonly start: { readonly state: InitialState; readonly step: number };
  readonly variance: number;
}

/** The loop, with evaluation and checkpoints around it, and the state it was run for. */
async function runSteps(options: TrainTokenizerOptions, started: Started): Promise<TokenizerRun> {
  const { engine, reporter } = options;
  const { config, preprocessing, configFingerprint, start, variance } = started;
  const { spec } = start.state;
  const set = options.heldOut.count > 0 ? options.heldOut : options.training;
  const trainer = await engine.createTrainer(
    createTokenizerStep(config, { variance }),
    start.state,
    tokenizerBatch(config).spec,
  );
  const evaluator = await createEvaluator({ config, spec, engine, set, preprocessing });
  const recent = createRecentMeans(RECENT_STEPS);
  const kept = await keepRun(options.folder, {
    spec,
    configFingerprint,
    steps: config.steps,
    firstStep: start.step,
    evaluation: {
      every: options.evaluateEvery ?? config.steps,
      run: async (state, step) => {
        const figures = await evaluator.run(state);
        options.onEvaluation?.(step, figures, recent.means());
        return { ...figures };
      },
      score: scoreOf,
    },
  });
  try {
    const run = await runLoop({
      trainer,
      batch: trainingBatches(config, started.batches, started.rng),
      firstStep: start.step,
      steps: config.steps,
      reporter,
      label: LABEL,
      unitsPerStep: { count: config.batchSize, unit: "images" },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...kept.options,
      onStep: (step, metrics) => {
        recent.add(metrics);
        kept.options.onStep?.(step, metrics);
      },
    });
    if (run.interrupted) return { step: run.step, interrupted: true };
    const best = options.keep === "best" ? kept.best() : undefined;
    const values = best?.values ?? (await trainer.state());
    const figures = best?.heldOut ?? run.evaluation;
    return {
      config,
      preprocessing,
      state: { spec, values },
      figures,
      ...(makesTokens(config) ? { rangeImages: await takeRangeImages(set, preprocessing) } : {}),
      step: best?.step ?? run.step,
      interrupted: false,
    };
  } finally {
    await Promise.all([trainer.dispose(), evaluator.dispose()]);
  }
}

interface Prepared {
  readonly rng: Rng;
  readonly batches: Batches;
}

function trainingBatches(config: TokenizerConfig, batches: Batches, rng: Rng): (step: number) => Promise<Batch> {
  const { draw } = tokenizerBatch(config);
  const shape = { batchSize: config.batchSize, height: config.imageSize, width: config.imageSize };
  const chance = { flip: config.augmentFlip, crop: config.augmentCrop };
  return async (step) => {
    const { images, keys } = await batches.batch(step);
    const varied = augment(images, shape, chance, rng.fork("augment", step));
    return { arrays: { images: varied, ...draw(rng.fork("step", step)) }, keys };
  };
}

async function measureVariance(batches: Batches, config: TokenizerConfig): Promise<number> {
  const pixels: Uint8Array[] = [];
  for (let step = 0; step * config.batchSize < Math.min(VARIANCE_IMAGES, batches.count); step++) {
    pixels.push((await batches.batch(step)).images);
  }
  return pixelVariance(pixels);
}

/** The configuration with the number of steps that fit into `seconds`, if a time was asked for. */
async function withSteps(
  { config, engine, seconds, reporter, folder }: TrainTokenizerOptions,
  { rng, batches, variance }: Prepared & { variance: number },
): Promise<TokenizerConfig> {
  if (seconds === undefined) return config;
  const { warmupSteps } = config;
  const step = createTokenizerStep({ ...config, steps: Math.max(config.steps, warmupSteps + 1) }, { variance });
  const steps = await stepsForTime({
    label: LABEL,
    seconds,
    warmupSteps,
    folder,
    reporter,
    probe: () =>
      engine.createTrainer(step, initialTokenizerState(config, rng.fork("probe")), tokenizerBatch(config).spec),
    batch: trainingBatches(config, batches, rng),
  });
  return { ...config, steps };
}

/** Fresh weights and, where codes live in the encoder's space, a codebook started by k-means of what the encoder says. */
async function freshState(options: TrainTokenizerOptions, { rng, batches }: Prepared): Promise<InitialState> {
  const { config } = options;
  const { spec, values } = initialTokenizerState(config, rng.fork("initial"));
  const bottleneck = createBottleneck(config);
  const start = bottleneck.kind === "discrete" ? bottleneck.kMeansStart : undefined;
  if (start === undefined) return { spec, values };
  const points = await encoderOutputs(options, { start, state: { spec, values }, batches });
  const sizes = { codebookSize: config.codebookSize, codeDimension: start.codeDimension };
  return { spec, values: startCodebook(start, values, kMeans(points, sizes, rng.fork("k-means"))) };
}

/** The points of the first batches under the initial weights: [n, D], row-major. */
async function encoderOutputs(
  { config, engine }: TrainTokenizerOptions,
  from: { start: KMeansStart; state: InitialState; batches: Batches },
): Promise<Float32Array> {
  const { start, state, batches } = from;
  const images = tokenizerBatch(config).spec["images"];
  if (images === undefined) throw new Error("A tokenizer batch has images.");
  const encoder = await engine.compile(
    ({ images: batch, ...weights }) => ({ zE: start.points(imagesToZE(config, weights, batch as tf.Tensor)) }),
    {
      ...state.spec,
      images,
    },
  );
  const rows: Float32Array[] = [];
  for (let step = 0; step * config.batchSize < Math.min(K_MEANS_IMAGES, batches.count); step++) {
    const { zE } = await encoder.run({ ...state.values, images: (await batches.batch(step)).images });
    if (zE instanceof Float32Array) rows.push(zE);
  }
  await encoder.dispose();
  const points = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  rows.reduce((offset, part) => (points.set(part, offset), offset + part.length), 0);
  return points;
}

/** What a checkpoint must agree on to be continued: everything that decides the next weights but, where they do not depend on it, the number of steps. */
function runFingerprint(
  { seed, training, heldOut, shuffleBuffer = SHUFFLE_BUFFER }: TrainTokenizerOptions,
  config: TokenizerConfig,
  preprocessing: Preprocessing,
): string {
  const horizon = config.schedule === "warmup-cosine" || config.bottleneck === "gumbel" ? config.steps : 0;
  return sha256Hex(
    canonicalJson({
      ...config,
      steps: horizon,
      seed,
      preprocessing,
      shuffleBuffer,
      images: training.digest,
      heldOut: heldOut.digest,
    }),
  );
}
