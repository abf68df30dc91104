/** Exponential moving averages of weights, for evaluation. Knows no optimizer; codebook statistics are the bottleneck's own. */
import type { Tensors } from "../engine/engine.ts";
import { tf } from "../engine/tf.ts";
import { entryOf, prefixState, type InitialState } from "./state.ts";

/** The averages' first values under `ema/…`: copies of the weights (bare names in `weights`). */
export function initialEma(weights: InitialState): InitialState {
  const values = Object.fromEntries(Object.entries(weights.values).map(([name, array]) => [name, array.slice()]));
  return prefixState({ spec: weights.spec, values }, "ema");
}

/**
 * ema ← ema + (1 − d)(weight − ema), with d = min(decay, (1 + t)/(10 + t)), so that the first steps do not drag the initial
 * weights along.
 * @param step t, the number of updates before this one: float32 scalar
 * @returns the new averages under the names of `averages`
 */
export function updateEma(averages: Tensors, weights: Tensors, options: { decay: number; step: tf.Tensor }): Tensors {
  const warm = tf.div(tf.add(options.step, 1), tf.add(options.step, 10));
  const rest = tf.sub(1, tf.minimum(warm, options.decay)); // 1 − d
  return Object.fromEntries(
    Object.entries(averages).map(([name, average]) => [
      name,
      tf.add(average, tf.mul(rest, tf.sub(entryOf(weights, name), average))),
    ]),
  );
}
