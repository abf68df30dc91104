/** Gradient clipping by the global norm. Knows no optimizer. */
import { entryOf } from "./state.ts";
import type { Tensors } from "../engine/engine.ts";
import { tf } from "../engine/tf.ts";
import { invariant } from "../errors.ts";

/**
 * √Σ‖g‖² over all tensors: float32 scalar. Summed in the order of the names: rounding depends on the order, and a state that was loaded from
 * a checkpoint may list its entries in another one than the state it was saved from.
 */
export function globalNorm(gradients: Tensors): tf.Tensor {
  const names = Object.keys(gradients).sort();
  const squares = names.map((name) => tf.sum(tf.square(entryOf(gradients, name))));
  const [first, ...others] = squares;
  invariant(first !== undefined, "globalNorm needs at least one gradient");
  return tf.sqrt(others.reduce<tf.Tensor>((sum, square) => tf.add(sum, square), first));
}

/**
 * Scales all gradients by one factor so that their global norm is at most `maxNorm`; shorter ones stay as they are
 * (Pascanu, Mikolov, Bengio, 2013, algorithm 1).
 * @returns the gradients under their names and the norm before clipping
 */
export function clipByGlobalNorm(gradients: Tensors, maxNorm: number): { gradients: Tensors; norm: tf.Tensor } {
  const norm = globalNorm(gradients);
  const factor = tf.div(maxNorm, tf.maximum(norm, maxNorm)); // ≤ 1
  const clipped = Object.entries(gradients).map(([name, gradient]) => [name, tf.mul(gradient, factor)] as const);
  return { gradients: Object.fromEntries(clipped), norm };
}
