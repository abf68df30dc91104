/**
 * Trains a tokenizer: images in, state and held-out figures out. Reads top to bottom as the method does: prepare the images, start the
 * codebook at k-means of the encoder's outputs, run the steps, measure. Knows no command line and publishes nothing.
 */
import type { Engine } from "../shared/engine/engine.ts";
import { canonicalJson, sha256Hex } from "../shared/fingerprint.ts";
import type { InitialState } from "../shared/nn/state.ts";
import { Rng } from "../shared/rng.ts";
import { runLoop, type Batch } from "../shared/train/loop.ts";
import { checkpointing, startingPoint, stepsForTime, type RunEnd, type RunOptions } from "../shared/train/run.ts";
import type { tf } from "../shared/engine/tf.ts";
import type { TokenizerConfig } from "./config.ts";
import { measureTokenizer, type Reconstructed, type TokenizerFigures } from "./evaluate.ts";
import type { TrainedTokenizer } from "./export.ts";
import {
  createBatches,
  createPreprocessing,
  type Batches,
  type ImageRecord,
  type Preprocessing,
} from "./images/index.ts";
import { pixelVariance } from "./metrics.ts";
import { evaluationState, imagesToTokens, imagesToZE, tokensToImages } from "./model/tokenize.ts";
import { kMeans } from "./quantizer/k-means.ts";
import { createTokenizerStep, initialTokenizerState, startCodebook, tokenizerBatch } from "./training-step.ts";

export interface TrainTokenizerOptions extends RunOptions {
  readonly config: TokenizerConfig;
  /** By default: cover, Lanczos-3, white background, at the config's size. */
  readonly preprocessing?: Preprocessing;
  readonly training: readonly ImageRecord[];
  /** Measured on; the training images themselves where there is none. */
  readonly heldOut: readonly ImageRecord[];
}

/** A finished run, or one that was interrupted and left its checkpoint. `step` counts finished steps. */
export type TokenizerRun = (TrainedTokenizer & RunEnd<false>) | RunEnd<true>;

const LABEL = "tokenizer";

/** Images the reconstruction loss's variance is measured on, and images whose codes start the codebook. */
const VARIANCE_IMAGES = 512;
const K_MEANS_IMAGES = 128;

/** @throws bad-input if no image can be decoded; numerical if the loss stops being finite; mismatch if a checkpoint is of another run. */
export async function trainTokenizer(options: TrainTokenizerOptions): Promise<TokenizerRun> {
  const { engine, reporter, seed } = options;
  const rng = Rng.fromSeed(seed).fork("tokenizer");
  const preprocessing =
    options.preprocessing ?? createPreprocessing([options.config.imageSize, options.config.imageSize]);
  const warn = ({ key, error }: { key: string; error: Error }): void =>
    reporter.warn(`left out ${key}: ${error.message}`);
  const batches = createBatches({
    records: options.training,
    preprocessing,
    batchSize: options.config.batchSize,
    rng: rng.fork("images"),
    shuffle: true,
    onFailure: warn,
  });
  try {
    const variance = await measureVariance(batches, options.config);
    const config = await withSteps(options, { rng, batches, variance });
    const configFingerprint = runFingerprint(options, config, preprocessing);
    const start = await startingPoint({
      label: LABEL,
      checkpoint: options.checkpoint,
      configFingerprint,
      fresh: () => freshState({ ...options, config }, { rng, batches }),
      reporter,
    });
    const trainer = await engine.createTrainer(
      createTokenizerStep(config, { variance }),
      start.state,
      tokenizerBatch(config).spec,
    );
    try {
      const run = await runLoop({
        trainer,
        batch: trainingBatches(config, batches, rng),
        firstStep: start.step,
        steps: config.steps,
        reporter,
        label: LABEL,
        unitsPerStep: { count: config.batchSize, unit: "images" },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...checkpointing(options.checkpoint, { spec: start.state.spec, configFingerprint, steps: config.steps }),
      });
      if (run.interrupted) return { step: run.step, interrupted: true };
      const state = { spec: start.state.spec, values: await trainer.state() };
      const records = options.heldOut.length > 0 ? options.heldOut : options.training;
      const figures = await evaluate({ config, state, engine, records, preprocessing });
      return { config, preprocessing, state, figures, step: run.step, interrupted: false };
    } finally {
      await trainer.dispose();
    }
  } finally {
    await batches.close();
  }
}

interface Prepared {
  readonly rng: Rng;
  readonly batches: Batches;
}

const trainingBatches =
  (config: TokenizerConfig, batches: Batches, rng: Rng) =>
  async (step: number): Promise<Batch> => {
    const { images, keys } = await batches.batch(step);
    return { arrays: { images, ...tokenizerBatch(config).draw(rng.fork("step", step)) }, keys };
  };

async function measureVariance(batches: Batches, config: TokenizerConfig): Promise<number> {
  const pixels: Uint8Array[] = [];
  for (let step = 0; step * config.batchSize < Math.min(VARIANCE_IMAGES, batches.count); step++) {
    pixels.push((await batches.batch(step)).images);
  }
  return pixelVariance(pixels);
}

/** The configuration with the number of steps that fit into `seconds`, if a time was asked for. */
async function withSteps(
  { config, engine, seconds, reporter, checkpoint }: TrainTokenizerOptions,
  { rng, batches, variance }: Prepared & { variance: number },
): Promise<TokenizerConfig> {
  if (seconds === undefined) return config;
  const { warmupSteps } = config;
  const step = createTokenizerStep({ ...config, steps: Math.max(config.steps, warmupSteps + 1) }, { variance });
  const steps = await stepsForTime({
    label: LABEL,
    seconds,
    warmupSteps,
    checkpoint,
    reporter,
    probe: () =>
      engine.createTrainer(step, initialTokenizerState(config, rng.fork("probe")), tokenizerBatch(config).spec),
    batch: trainingBatches(config, batches, rng),
  });
  return { ...config, steps };
}

/** Fresh weights and a codebook started by k-means of what the encoder says. */
async function freshState(options: TrainTokenizerOptions, { rng, batches }: Prepared): Promise<InitialState> {
  const { config } = options;
  const { spec, values } = initialTokenizerState(config, rng.fork("initial"));
  const clusters = kMeans(
    await encoderOutputs(options, { spec, values }, batches),
    { codebookSize: config.codebookSize, codeDimension: config.codeDimension },
    rng.fork("k-means"),
  );
  return { spec, values: startCodebook(config, values, clusters) };
}

/** zE of the first batches under the initial weights: [n, D], row-major. */
async function encoderOutputs(
  { config, engine }: TrainTokenizerOptions,
  state: InitialState,
  batches: Batches,
): Promise<Float32Array> {
  const images = tokenizerBatch(config).spec["images"];
  if (images === undefined) throw new Error("A tokenizer batch has images.");
  const encoder = await engine.compile(
    ({ images: batch, ...weights }) => ({ zE: imagesToZE(config, weights, batch as tf.Tensor) }),
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

/** What a checkpoint must agree on to be continued: everything that decides the next weights but the number of steps. */
function runFingerprint(
  { seed, training }: TrainTokenizerOptions,
  config: TokenizerConfig,
  preprocessing: Preprocessing,
): string {
  const horizon = config.schedule === "warmup-cosine" ? config.steps : 0;
  return sha256Hex(
    canonicalJson({ ...config, steps: horizon, seed, preprocessing }),
    ...training.map(({ key }) => `\0${key}`),
  );
}

/** Figures of the state on `records`, by the engine that trained it. */
async function evaluate(run: {
  config: TokenizerConfig;
  state: InitialState;
  engine: Engine;
  records: readonly ImageRecord[];
  preprocessing: Preprocessing;
}): Promise<TokenizerFigures> {
  const { config, engine, records, preprocessing } = run;
  const spec = evaluationState(run.state.spec);
  const values = evaluationState(run.state.values);
  const batchSize = Math.min(config.batchSize, records.length);
  const images = { shape: [batchSize, config.imageSize, config.imageSize, 3], dtype: "uint8" } as const;
  const reconstruct = await engine.compile(
    ({ images: batch, ...weights }) => {
      const tokens = imagesToTokens(config, weights, batch as tf.Tensor);
      return { tokens, levels: tokensToImages(config, weights, tokens) };
    },
    { ...spec, images },
  );
  const batches = createBatches({
    records,
    preprocessing,
    batchSize,
    rng: Rng.fromSeed(0),
    shuffle: false,
    cacheBytes: 0,
    onFailure: () => undefined,
  });
  async function* passes(): AsyncGenerator<Reconstructed> {
    for (let step = 0; step * batchSize < batches.count; step++) {
      const batch = (await batches.batch(step)).images;
      const { tokens, levels } = await reconstruct.run({ ...values, images: batch });
      // The last batch runs on into the next epoch: what was measured already is left out.
      const fresh = Math.min(batchSize, batches.count - step * batchSize) / batchSize;
      if (!(tokens instanceof Int32Array) || levels === undefined) throw new Error("Reconstruction gave no tokens.");
      yield {
        originals: batch.subarray(0, batch.length * fresh),
        reconstructions: Uint8Array.from(levels.subarray(0, levels.length * fresh)),
        size: [config.imageSize, config.imageSize],
        tokens: tokens.subarray(0, tokens.length * fresh),
      };
    }
  }
  try {
    return await measureTokenizer(passes(), config.codebookSize);
  } finally {
    await Promise.all([batches.close(), reconstruct.dispose()]);
  }
}
