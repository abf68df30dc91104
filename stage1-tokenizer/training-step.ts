/**
 * One training step of the tokenizer as the two pure functions an `Engine` wants, and the state it starts from. Knows no engine,
 * no file and no loop.
 */
import type { Arrays, NumericArray, Signature, StepGradients, Tensors, TrainingStep } from "../shared/engine/engine.ts";
import { badInput } from "../shared/errors.ts";
import { adamw, type Optimizer } from "../shared/nn/adamw.ts";
import { initialEma, updateEma } from "../shared/nn/ema.ts";
import { valueAndGradients } from "../shared/nn/gradients.ts";
import { createSchedule } from "../shared/nn/schedules.ts";
import { entryOf, group, initialise, joinStates, prefix, prefixState, type InitialState } from "../shared/nn/state.ts";
import type { Rng } from "../shared/rng.ts";
import type { TokenizerConfig } from "./config.ts";
import { codeUse, tokenizerLoss } from "./losses.ts";
import { decode, encode, modelSpecs } from "./model/convolutional.ts";
import { toUnit } from "./model/pixels.ts";
import { createQuantizer } from "./quantizer/create-quantizer.ts";
import type { Clusters } from "./quantizer/k-means.ts";

/**
 * The step for batches of `tokenizerBatch(config).spec`. Metrics, all scalars: `loss`, `reconstructionLoss` (normalised),
 * `codebookLoss`, `commitmentLoss` (unweighted), `perplexity` and `codesUsed` of the batch.
 * @param data variance of the training images on the 0 … 1 scale (`pixelVariance`)
 */
export function createTokenizerStep(config: TokenizerConfig, data: { variance: number }): TrainingStep {
  if (!(data.variance > 0 && Number.isFinite(data.variance)))
    throw badInput({
      what: "the training images have no variance",
      expected: "images that differ",
      got: `variance ${data.variance}`,
    });
  const quantizer = createQuantizer(config);
  const optimizer = optimizerOf(config);

  function gradients(state: Tensors, batch: Tensors): StepGradients {
    const images = toUnit(entryOf(batch, "images")); // [B, H, W, 3]
    const result = valueAndGradients(group(state, "weight"), (weights) => {
      const zE = encode(weights, images, config); // [B, h, w, D]
      const quantized = quantizer.quantize(zE, { ...state, ...prefix(weights, "weight") }, batch);
      const reconstruction = decode(weights, quantized.zQ, config); // [B, H, W, 3]
      const { loss, ...parts } = tokenizerLoss({
        images,
        reconstruction,
        quantized,
        commitmentWeight: config.commitmentWeight,
        dataVariance: data.variance,
      });
      const metrics = { ...parts, ...codeUse(quantized.counts) };
      return { loss, aux: { ...prefix(metrics, "metric"), ...prefix(quantized.statistics, "statistic") } };
    });
    return {
      gradients: result.gradients,
      statistics: group(result.aux, "statistic"),
      metrics: { loss: result.loss, ...group(result.aux, "metric") },
    };
  }

  function update(state: Tensors, gradients: Tensors, statistics: Tensors): Tensors {
    const optimized = optimizer.update(state, gradients);
    const codebook = quantizer.updateState(state, statistics);
    const averages = updateEma(group(state, "ema"), group(optimized, "weight"), {
      decay: config.weightEmaDecay,
      step: entryOf(state, "step"),
    });
    return { ...optimized, ...codebook, ...prefix(averages, "ema") };
  }

  return { gradients, update };
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
  const model = prefixState(initialise(modelSpecs(config), rng.fork("weights")), "weight");
  const state = joinStates(model, createQuantizer(config).initialState(rng.fork("codebook")));
  const weights = { spec: group(state.spec, "weight"), values: group(state.values, "weight") };
  const averages = config.weightEmaDecay > 0 ? [initialEma(weights)] : [];
  return joinStates(state, optimizerOf(config).init(weights.spec), ...averages);
}

/** `values` with the codebook (and its average, if kept) started at `clusters` of encoder outputs. */
export function startCodebook(config: TokenizerConfig, values: Arrays, clusters: Clusters): Arrays {
  const codebook = createQuantizer(config).startFrom(clusters);
  const averages: Record<string, NumericArray> = {};
  for (const [name, array] of Object.entries(group(codebook, "weight")))
    if (`ema/${name}` in values) averages[`ema/${name}`] = array.slice();
  return { ...values, ...codebook, ...averages };
}

/** What a batch holds: `images` uint8 [B, H, W, 3] and whatever the quantizer draws, with the draw (`rng` keyed by the step). */
export function tokenizerBatch(config: TokenizerConfig): { spec: Signature; draw: (rng: Rng) => Arrays } {
  const { batchSize, imageSize } = config;
  const { drawn } = createQuantizer(config);
  return {
    spec: { images: { shape: [batchSize, imageSize, imageSize, 3], dtype: "uint8" }, ...drawn.spec },
    draw: drawn.draw,
  };
}
