/**
 * One training step of the tokenizer as the two pure functions an `Engine` wants, and the state it starts from. Knows no engine,
 * no file and no loop.
 */
import type { Arrays, NumericArray, Signature, StepGradients, Tensors, TrainingStep } from "../shared/engine/engine.ts";
import { tf } from "../shared/engine/tf.ts";
import { badInput } from "../shared/errors.ts";
import { adamw, type Optimizer } from "../shared/nn/adamw.ts";
import { clipByGlobalNorm } from "../shared/nn/clip.ts";
import { initialEma, updateEma } from "../shared/nn/ema.ts";
import { stopGradient, valueAndGradients } from "../shared/nn/gradients.ts";
import { createSchedule } from "../shared/nn/schedules.ts";
import {
  entryOf,
  group,
  initialise,
  joinStates,
  prefix,
  prefixState,
  zerosLike,
  type InitialState,
} from "../shared/nn/state.ts";
import type { Rng } from "../shared/rng.ts";
import type { Bottleneck, KMeansStart } from "./bottleneck/bottleneck.ts";
import { createBottleneck } from "./bottleneck/create-bottleneck.ts";
import type { Clusters } from "./bottleneck/k-means.ts";
import type { TokenizerConfig } from "./config.ts";
import { codeUse, termValues, totalLoss } from "./losses.ts";
import { decode, encode } from "./model/convolutional.ts";
import { partsOf } from "./model/parts.ts";
import { toUnit } from "./model/pixels.ts";

/**
 * The step for batches of `tokenizerBatch(config).spec`. Metrics, all scalars: `loss`, `reconstructionLoss`, every term of the bottleneck by its
 * name (`codebookLoss`, `commitmentLoss`, `kl`, …; unweighted), and of discrete ones `perplexity` and `codesUsed` of the batch and
 * `codeAge`, the mean number of steps since each code was last chosen.
 * @param data variance of the training images on the 0 … 1 scale (`pixelVariance`)
 */
export function createTokenizerStep(config: TokenizerConfig, data: { variance: number }): TrainingStep {
  checkVariance(data.variance);
  const { bottleneck, reconstruction, size } = partsOf(config, { dataVariance: data.variance });
  const optimizer = optimizerOf(config);

  function gradients(state: Tensors, batch: Tensors): StepGradients {
    const images = toUnit(entryOf(batch, "images")); // [B, H, W, 3]
    const result = valueAndGradients(group(state, "weight"), (weights) => {
      const zE = encode(weights, images, size); // [B, h, w, C]
      const bottled = bottleneck.forward(zE, { ...state, ...prefix(weights, "weight") }, batch);
      const output = decode(weights, bottled.z, size); // [B, H, W, 3]
      const perImage = reconstruction.perImage({ images, output, weights }); // [B]
      const after = bottled.afterDecoding?.(stopGradient(perImage));
      const terms = { ...bottled.terms, ...after?.terms };
      const reconstructionLoss = tf.mean(perImage);
      const statistics = { ...bottled.statistics, ...after?.statistics };
      const metrics = {
        reconstructionLoss,
        ...termValues(terms),
        ...codeMetrics(state, statistics),
        ...bottled.metrics,
      };
      return {
        loss: totalLoss(reconstructionLoss, terms),
        aux: { ...prefix(metrics, "metric"), ...prefix(statistics, "statistic") },
      };
    });
    return {
      gradients: result.gradients,
      statistics: group(result.aux, "statistic"),
      metrics: { loss: result.loss, ...group(result.aux, "metric") },
    };
  }

  function update(state: Tensors, gradients: Tensors, statistics: Tensors): Tensors {
    const kept = config.gradientClip > 0 ? clipByGlobalNorm(gradients, config.gradientClip).gradients : gradients;
    const optimized = optimizer.update(state, kept);
    const averages = updateEma(group(state, "ema"), group(optimized, "weight"), {
      decay: config.weightEmaDecay,
      step: entryOf(state, "step"),
    });
    return {
      ...optimized,
      ...bottleneck.updateState(state, statistics),
      ...updateAges(state, statistics),
      ...prefix(averages, "ema"),
    };
  }

  return { gradients, update };
}

/** Steps since each code was last chosen, [K]; only discrete bottlenecks have it. */
const AGES = "codes/age";

function codeMetrics(state: Tensors, { counts }: Tensors): Tensors {
  if (counts === undefined) return {};
  return { ...codeUse(counts), codeAge: tf.mean(entryOf(state, AGES)) };
}

function updateAges(state: Tensors, { counts }: Tensors): Tensors {
  if (counts === undefined) return {};
  return { [AGES]: tf.where(tf.greater(counts, 0), tf.zerosLike(counts), tf.add(entryOf(state, AGES), 1)) };
}

function initialAges(bottleneck: Bottleneck): InitialState[] {
  return bottleneck.kind === "discrete"
    ? [zerosLike({ [AGES]: { shape: [bottleneck.codebookSize], dtype: "float32" } })]
    : [];
}

function checkVariance(variance: number): void {
  if (variance > 0 && Number.isFinite(variance)) return;
  throw badInput({
    what: "the training images have no variance",
    expected: "images that differ",
    got: `variance ${variance}`,
  });
}

/** Adam: no weight decay. */
function optimizerOf(config: TokenizerConfig): Optimizer {
  const learningRate = createSchedule(config.schedule, {
    learningRate: config.learningRate,
    warmupSteps: config.warmupSteps,
    totalSteps: config.steps,
    floor: config.learningRateFloor,
  });
  return adamw({ learningRate });
}

/** Every entry of the state before the first step: weights, moments, codebook, `step`, and averages if the config wants them. */
export function initialTokenizerState(config: TokenizerConfig, rng: Rng): InitialState {
  const { bottleneck, specs } = partsOf(config);
  const model = prefixState(initialise(specs, rng.fork("weights")), "weight");
  const state = joinStates(model, bottleneck.initialState(rng.fork("codebook")), ...initialAges(bottleneck));
  const weights = { spec: group(state.spec, "weight"), values: group(state.values, "weight") };
  const averages = config.weightEmaDecay > 0 ? [initialEma(weights)] : [];
  return joinStates(state, optimizerOf(config).init(weights.spec), ...averages);
}

/** `values` with the codebook (and its average, if kept) started at `clusters` of `start.points(zE)`. */
export function startCodebook(start: KMeansStart, values: Arrays, clusters: Clusters): Arrays {
  const codebook = start.startFrom(clusters);
  const averages: Record<string, NumericArray> = {};
  for (const [name, array] of Object.entries(group(codebook, "weight")))
    if (`ema/${name}` in values) averages[`ema/${name}`] = array.slice();
  return { ...values, ...codebook, ...averages };
}

/** What a batch holds: `images` uint8 [B, H, W, 3] and whatever the bottleneck draws, with the draw (`rng` keyed by the step). */
export function tokenizerBatch(config: TokenizerConfig): { spec: Signature; draw: (rng: Rng) => Arrays } {
  const { batchSize, imageSize } = config;
  const { drawn } = createBottleneck(config);
  return {
    spec: { images: { shape: [batchSize, imageSize, imageSize, 3], dtype: "uint8" }, ...drawn.spec },
    draw: drawn.draw,
  };
}
