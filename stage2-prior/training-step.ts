/**
 * One training step of a prior as the two pure functions an `Engine` wants, the batch it takes and the state it starts from. Knows no engine,
 * no file and no loop.
 */
import type { Arrays, Signature, StepGradients, Tensors, TrainingStep } from "../shared/engine/engine.ts";
import { tf } from "../shared/engine/tf.ts";
import { adamw, type Optimizer } from "../shared/nn/adamw.ts";
import { clipByGlobalNorm, globalNorm } from "../shared/nn/clip.ts";
import { crossEntropy } from "../shared/nn/cross-entropy.ts";
import { drawDropoutMask } from "../shared/nn/dropout.ts";
import { initialEma, updateEma } from "../shared/nn/ema.ts";
import { valueAndGradients } from "../shared/nn/gradients.ts";
import { createSchedule } from "../shared/nn/schedules.ts";
import { entryOf, group, initialise, joinStates, prefix, prefixState, type InitialState } from "../shared/nn/state.ts";
import type { Rng } from "../shared/rng.ts";
import type { PriorConfig } from "./config.ts";
import { networkOf } from "./model/index.ts";
import { objectives } from "./objectives/index.ts";
import type { TokenBatch } from "./token-data.ts";
import { nullClassId, toClassIds } from "./vocabulary.ts";

/** Metrics, all scalars: `loss` in nats (smoothed if the objective smooths), `bitsPerToken` (never smoothed), `gradientNorm` (before clipping). */
export function createPriorStep(config: PriorConfig): TrainingStep {
  const optimizer = optimizerOf(config);

  function gradients(state: Tensors, batch: Tensors): StepGradients {
    const result = valueAndGradients(group(state, "weight"), (weights) => {
      const { loss, nats } = lossOf(weights, batch, config, "training");
      return { loss, aux: { bitsPerToken: tf.div(nats, Math.LN2) } };
    });
    return {
      gradients: result.gradients,
      statistics: {},
      metrics: {
        loss: result.loss,
        bitsPerToken: result.aux.bitsPerToken,
        gradientNorm: globalNorm(result.gradients),
      },
    };
  }

  function update(state: Tensors, gradientsByName: Tensors): Tensors {
    // Clipped here and not above: several processes average their gradients first, and the norm is that of the average.
    const clipped = clipByGlobalNorm(gradientsByName, config.clipNorm);
    const optimized = optimizer.update(state, clipped.gradients);
    const averages = updateEma(group(state, "ema"), group(optimized, "weight"), {
      decay: config.weightEmaDecay,
      step: entryOf(state, "step"),
    });
    return { ...optimized, ...prefix(averages, "ema") };
  }

  return { gradients, update };
}

/** Mean over the positions that count, by weight: `loss` (smoothed in training) and `nats`; `weight` is their weights' sum. */
export function lossOf(weights: Tensors, batch: Tensors, config: PriorConfig, mode: "training" | "evaluation") {
  const objective = objectives[config.objective];
  const input = { ids: entryOf(batch, "ids"), classIds: entryOf(batch, "classes") };
  const dropping = mode === "training" && config.dropout > 0 ? { dropout: { masks: batch, rate: config.dropout } } : {};
  const logits = networkOf(config).forward(weights, input, dropping); // [B, L, K]
  const targets = tf.reshape(entryOf(batch, "targets"), [-1]); // [B·L]
  const counted = tf.reshape(entryOf(batch, "counted"), [-1]); // [B·L]
  const smoothing = mode === "training" ? objective.smoothing(config) : 0;
  const rows = crossEntropy(tf.reshape(logits, [-1, config.codebookSize]), targets, smoothing);
  const weight = tf.sum(counted);
  const mean = (values: tf.Tensor): tf.Tensor => tf.div(tf.sum(tf.mul(values, counted)), tf.maximum(weight, 1));
  return { loss: mean(rows.loss), nats: mean(rows.nats), weight };
}

function optimizerOf(config: PriorConfig): Optimizer {
  const { learningRate, warmupSteps, steps, learningRateFloor, beta1, beta2, weightDecay } = config;
  const schedule = createSchedule(config.schedule, {
    learningRate,
    warmupSteps,
    totalSteps: steps,
    floor: learningRateFloor,
  });
  return adamw({ learningRate: schedule, beta1, beta2, weightDecay });
}

/** Weights, moments, `step`, and averages if the config wants them. */
export function initialPriorState(config: PriorConfig, rng: Rng): InitialState {
  const bare = initialise(networkOf(config).specs, rng.fork("weights"));
  const averages = config.weightEmaDecay > 0 ? [initialEma(bare)] : [];
  return joinStates(prefixState(bare, "weight"), optimizerOf(config).init(bare.spec), ...averages);
}

/** The weights that evaluation and export use: the averages where they are kept. Works on tensors and on arrays. */
export function evaluationWeights<T>(state: Readonly<Record<string, T>>): Record<string, T> {
  return { ...group(state, "weight"), ...group(state, "ema") };
}

/** What a batch holds, and how training makes it of token rows, all randomness drawn here; held-out.ts makes those of evaluation. */
export function priorBatch(config: PriorConfig): {
  spec: Signature;
  evaluationSpec: Signature;
  prepare(batch: TokenBatch, rng: Rng): Arrays;
} {
  const { batchSize, grid, classes, width, dropout } = config;
  const shape = [batchSize, grid[0] * grid[1]];
  const evaluationSpec: Signature = {
    ids: { shape, dtype: "int32" },
    targets: { shape, dtype: "int32" },
    counted: { shape, dtype: "float32" },
    classes: { shape: [batchSize], dtype: "int32" },
  };
  const sites = dropout > 0 ? networkOf(config).dropoutSites.map((site) => `dropout.${site}`) : [];
  const masks: Signature = Object.fromEntries(
    sites.map((site) => [site, { shape: [...shape, width], dtype: "uint8" }]),
  );
  const maskLength = batchSize * grid[0] * grid[1] * width;
  return {
    spec: { ...evaluationSpec, ...masks },
    evaluationSpec,
    prepare(batch, rng) {
      const prepared = objectives[config.objective].prepare(batch.tokens, rng, { config, mode: "training" });
      const classIds = classes === 0 ? new Int32Array(batchSize) : toClassIds(batch.labels, classes);
      dropLabels(classIds, { rate: config.labelDrop, classes, rng });
      const drawn = sites.map((site) => [site, drawDropoutMask(maskLength, dropout, rng.fork(site))] as const);
      return { ...prepared, targets: batch.tokens, classes: classIds, ...Object.fromEntries(drawn) };
    },
  };
}

/** Some images forget their class, so that the network learns the null class too (Ho & Salimans 2022, "Classifier-Free Guidance"). */
function dropLabels(classIds: Int32Array, options: { rate: number; classes: number; rng: Rng }): void {
  const draw = options.rng.fork("label drop");
  for (let i = 0; i < classIds.length; i++)
    if (draw.uniform() < options.rate) classIds[i] = nullClassId(options.classes);
}
