/**
 * Adam with decoupled weight decay as two pure functions over the flat state: `init` declares the moments and `step`, `update`
 * returns the new weights, moments and step. Plain Adam is `weightDecay: 0`. Knows no model and does not clip.
 *
 * Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2.
 */
import type { Signature, Tensors } from "../engine/engine.ts";
import { tf } from "../engine/tf.ts";
import type { Schedule } from "./schedules.ts";
import { entryOf, group, joinStates, prefixState, zerosLike, type InitialState } from "./state.ts";

export interface AdamWOptions {
  readonly learningRate: Schedule;
  /** β₁; 0.9 unless told. */
  readonly beta1?: number;
  /** β₂; 0.999 unless told. */
  readonly beta2?: number;
  /** ε; 1e-8 unless told. */
  readonly epsilon?: number;
  /** λ, multiplied by the learning rate; 0 (Adam) unless told. */
  readonly weightDecay?: number;
  /** Which weights decay; by default those of rank ≥ 2 (kernels and embeddings, not biases and gains). */
  readonly decays?: (name: string, shape: readonly number[]) => boolean;
}

export interface Optimizer {
  /** Entries the optimizer adds to the state of weights with these bare names: `adam.m/…`, `adam.v/…`, `step` (0). */
  init(weights: Signature): InitialState;
  /**
   * @param state the whole state; `weight/…`, `adam.m/…`, `adam.v/…` and `step` are read
   * @param gradients under the weights' bare names
   * @returns new `weight/…`, `adam.m/…`, `adam.v/…` and `step` + 1
   */
  update(state: Tensors, gradients: Tensors): Tensors;
}

const decaysByRank = (_name: string, shape: readonly number[]): boolean => shape.length >= 2;

export function adamw(options: AdamWOptions): Optimizer {
  const { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0, decays = decaysByRank } = options;

  function update(state: Tensors, gradients: Tensors): Tensors {
    const step = entryOf(state, "step");
    const rate = learningRate(step); // α·η_t
    const t = tf.add(step, 1);
    const unbias1 = biasCorrection(beta1, t);
    const unbias2 = biasCorrection(beta2, t);
    const kept = tf.sub(1, tf.mul(rate, weightDecay)); // 1 − η_t λ

    const next: Record<string, tf.Tensor> = { step: t };
    for (const [name, weight] of Object.entries(group(state, "weight"))) {
      const gradient = entryOf(gradients, name);
      const m = mix(entryOf(state, `adam.m/${name}`), gradient, beta1);
      const v = mix(entryOf(state, `adam.v/${name}`), tf.square(gradient), beta2);
      const direction = tf.div(tf.mul(m, unbias1), tf.add(tf.sqrt(tf.mul(v, unbias2)), epsilon));
      const decayed = weightDecay > 0 && decays(name, weight.shape) ? tf.mul(weight, kept) : weight;
      next[`weight/${name}`] = tf.sub(decayed, tf.mul(direction, rate));
      next[`adam.m/${name}`] = m;
      next[`adam.v/${name}`] = v;
    }
    return next;
  }

  return { init, update };
}

function init(weights: Signature): InitialState {
  return joinStates(
    prefixState(zerosLike(weights), "adam.m"),
    prefixState(zerosLike(weights), "adam.v"),
    zerosLike({ step: { shape: [], dtype: "float32" } }),
  );
}

/** β·old + (1 − β)·fresh. */
function mix(old: tf.Tensor, fresh: tf.Tensor, beta: number): tf.Tensor {
  return tf.add(tf.mul(old, beta), tf.mul(fresh, 1 - beta));
}

/** 1 / (1 − βᵗ). */
function biasCorrection(beta: number, t: tf.Tensor): tf.Tensor {
  return tf.div(1, tf.sub(1, tf.exp(tf.mul(t, Math.log(beta)))));
}
