/**
 * REINFORCE: a code is drawn from the encoder's distribution, and the encoder is told only how well that went: the score-function
 * estimator (L − b) ∇ log q(k | x). Unbiased, and noisy, since one number per image has to teach every position; the baseline b, a
 * running mean of the loss plus a learnt linear function of the encoder's output, takes off what can be foreseen.
 *
 * Source: Williams, "Simple Statistical Gradient-Following Algorithms", 1992; the learnt baseline as in Mnih & Gregor, "Neural
 * Variational Inference and Learning", 2014, section 2.3.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { stopGradient } from "../../shared/nn/gradients.ts";
import { linear, linearSpec } from "../../shared/nn/layers.ts";
import { entryOf, group, type InitialState, joinStates, layer } from "../../shared/nn/state.ts";
import type { Rng } from "../../shared/rng.ts";
import type { Bottled, CodebookSize, DiscreteBottleneck } from "./bottleneck.ts";
import { initialCodes, logitLeaf, logitRows, mixCodes, oneHot } from "./logits.ts";
import { countCodes } from "./nearest.ts";

export interface ReinforceOptions extends CodebookSize {
  /** Positions in one batch, B·h·w. */
  readonly batchTokens: number;
}

const BASELINE = "codebook.baseline";
/** The part of the baseline that is the same for every image. */
const MEAN_LOSS = "codebook/meanLoss";
const MEAN_LOSS_DECAY = 0.95;

export function createReinforce(options: ReinforceOptions) {
  const { codebookSize, batchTokens } = options;

  function forward(zE: tf.Tensor, state: Tensors, batch: Tensors): Bottled {
    const images = zE.shape[0];
    const logQ = tf.logSoftmax(logitRows(zE, codebookSize)); // [N, K]
    const indices = drawCodes(tf.exp(stopGradient(logQ)), entryOf(batch, "uniforms")); // [N]
    const chosen = oneHot(indices, codebookSize); // [N, K]
    const logProbability = tf.sum(tf.reshape(tf.mul(chosen, logQ), [images, -1]), 1); // [B]
    const foreseen = baseline(zE, state); // [B]
    return {
      z: mixCodes(chosen, state, zE),
      terms: {},
      statistics: { counts: countCodes(indices, codebookSize) },
      metrics: {},
      afterDecoding(lossPerImage) {
        const advantage = tf.sub(lossPerImage, stopGradient(foreseen)); // [B]
        const score = tf.mean(tf.mul(advantage, logProbability));
        return {
          terms: {
            // Worth 0 as a number: only its gradient, the estimator, counts.
            score: { value: tf.sub(score, stopGradient(score)), weight: 1 },
            baselineLoss: { value: tf.mean(tf.square(tf.sub(foreseen, lossPerImage))), weight: 1 },
          },
          statistics: { meanLoss: tf.mean(lossPerImage) },
        };
      },
    };
  }

  function updateState(state: Tensors, statistics: Tensors): Tensors {
    const fresh = tf.mul(entryOf(statistics, "meanLoss"), 1 - MEAN_LOSS_DECAY);
    return { [MEAN_LOSS]: tf.add(tf.mul(entryOf(state, MEAN_LOSS), MEAN_LOSS_DECAY), fresh) };
  }

  return {
    ...logitLeaf(options),
    name: "reinforce",
    initialState: (rng) => initialState(options, rng),
    drawn: {
      spec: { uniforms: { shape: [batchTokens], dtype: "float32" } },
      draw: (rng) => ({ uniforms: rng.fillUniform(batchTokens) }),
    },
    forward,
    updateState,
  } as const satisfies DiscreteBottleneck;
}

/** The running mean starts at 1, the normalised loss of a constant image. */
function initialState(options: ReinforceOptions, rng: Rng): InitialState {
  const weights = initialCodes(options, rng, linearSpec(BASELINE, { from: options.codebookSize, to: 1 }));
  return joinStates(weights, {
    spec: { [MEAN_LOSS]: { shape: [], dtype: "float32" } },
    values: { [MEAN_LOSS]: Float32Array.of(1) },
  });
}

/** Inverse of the cumulative distribution: probabilities [N, K], uniforms [N] → int32 [N]. */
function drawCodes(probabilities: tf.Tensor, uniforms: tf.Tensor): tf.Tensor1D {
  const below = tf.lessEqual(tf.cumsum(probabilities, 1), tf.expandDims(uniforms, 1)); // [N, K]
  const index = tf.sum(tf.cast(below, "int32"), 1);
  // The last sum is 1 up to rounding.
  return tf.minimum(index, tf.scalar((probabilities.shape[1] ?? 1) - 1, "int32"));
}

/** What the loss of each image is expected to be, from its mean logits: [B]. A gradient for the baseline's own weights only. */
function baseline(zE: tf.Tensor, state: Tensors): tf.Tensor {
  const features = tf.mean(stopGradient(zE), [1, 2]); // [B, K]
  const learnt = linear(features, layer(group(state, "weight"), BASELINE)); // [B, 1]
  return tf.add(tf.reshape(learnt, [-1]), entryOf(state, MEAN_LOSS));
}
