/** Figures of a model in training on held-out images, by the engine that trains it: compiled once, run at every evaluation. Knows no loop. */
import type { Arrays, Engine, NumericArray, PureFunction, Signature } from "../shared/engine/engine.ts";
import type { tf } from "../shared/engine/tf.ts";
import { invariant } from "../shared/errors.ts";
import { entryOf, group } from "../shared/nn/state.ts";
import { Rng } from "../shared/rng.ts";
import type { Bottleneck } from "./bottleneck/bottleneck.ts";
import { createBottleneck } from "./bottleneck/create-bottleneck.ts";
import { klPerImage, sampleLatent } from "./bottleneck/gaussian.ts";
import { imageValuesOf, type TokenizerConfig } from "./config.ts";
import { createModelMeter, type ModelFigures } from "./evaluate.ts";
import { type Preprocessing, type RecordSet, streamImages } from "./images/index.ts";
import { decode, encode } from "./model/convolutional.ts";
import { partsOf } from "./model/parts.ts";
import { toLevels, toUnit } from "./model/pixels.ts";
import { evaluationState } from "./model/tokenize.ts";

export interface EvaluatorOptions {
  readonly config: TokenizerConfig;
  /** Of the whole training state. */
  readonly spec: Signature;
  readonly engine: Engine;
  readonly set: RecordSet;
  readonly preprocessing: Preprocessing;
}

export interface Evaluator {
  /** One full pass with the weights of a training state. @throws bad-input if no image can be decoded */
  run(state: Arrays): Promise<ModelFigures>;
  dispose(): Promise<void>;
}

export async function createEvaluator(options: EvaluatorOptions): Promise<Evaluator> {
  const { config, engine, preprocessing } = options;
  const { batchSize, imageSize } = config;
  const draws = drawsOf(createBottleneck(config));
  const images = { shape: [batchSize, imageSize, imageSize, 3], dtype: "uint8" } as const;
  const compiled = await engine.compile(evaluation(config), {
    ...evaluationState(options.spec),
    images,
    ...draws.spec,
  });

  async function run(state: Arrays): Promise<ModelFigures> {
    const weights = evaluationState(state);
    const meter = createModelMeter(config);
    const rng = Rng.fromSeed(0).fork("evaluation"); // one stream, so that an image's draw does not depend on the batch
    const records = options.set.records();
    for await (const batch of streamImages({ records, preprocessing, batchSize, onFailure: () => undefined })) {
      const full = new Uint8Array(batchSize * imageSize * imageSize * 3); // the last batch is filled up with black
      full.set(batch.images);
      const outputs = await compiled.run({ ...weights, images: full, ...draws.draw(rng) });
      meter.add(batch.images, cut(outputs, batch.keys.length / batchSize));
    }
    return meter.figures();
  }
  return { run, dispose: () => compiled.dispose() };
}

/** Only a VAE's bound needs a draw: everything else is measured without noise. */
function drawsOf(bottleneck: Bottleneck): Bottleneck["drawn"] {
  const variational = bottleneck.kind === "continuous" && bottleneck.posterior !== undefined;
  return variational ? bottleneck.drawn : { spec: {}, draw: () => ({}) };
}

/** images → `levels` [B, H, W, 3], and `tokens` [B, h, w], or for a VAE `reconstructionNats` and `klNats` [B] and `means` [B, …]. */
function evaluation(config: TokenizerConfig): PureFunction {
  const { bottleneck, reconstruction, size } = partsOf(config);
  return ({ images: levels, ...inputs }) => {
    const weights = group(inputs, "weight");
    const images = toUnit(levels as tf.Tensor);
    const zE = encode(weights, images, size);
    const toImages = (z: tf.Tensor): tf.Tensor => toLevels(reconstruction.toImages(decode(weights, z, size)));
    if (bottleneck.kind === "discrete") {
      const tokens = bottleneck.assign(zE, inputs);
      return { tokens, levels: toImages(bottleneck.lookup(tokens, inputs)) };
    }
    const decoded = toImages(bottleneck.fromLatent(bottleneck.latent(zE, inputs), inputs));
    if (bottleneck.posterior === undefined) return { levels: decoded };
    const posterior = bottleneck.posterior(zE, inputs);
    const z = bottleneck.fromLatent(sampleLatent(posterior, entryOf(inputs, "noise")), inputs);
    const perValue = reconstruction.perImage({ images, output: decode(weights, z, size), weights }); // [B]
    return {
      levels: decoded,
      reconstructionNats: perValue.mul(imageValuesOf(config)),
      klNats: klPerImage(posterior),
      means: posterior.mean,
    };
  };
}

/** The first part of each array: what belongs to images, and not to what fills the batch up. */
function cut(arrays: Arrays, share: number): Arrays {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, array]): [string, NumericArray] => {
      const length = array.length * share;
      invariant(Number.isInteger(length), `${name} does not divide by the batch`);
      return [name, array.subarray(0, length)];
    }),
  );
}
