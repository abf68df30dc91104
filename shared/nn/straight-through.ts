/** The straight-through estimator: how a gradient passes a choice that has none. Knows no bottleneck. */
import { stopGradient } from "./gradients.ts";
import { tf } from "../engine/tf.ts";
import { invariant } from "../errors.ts";

/**
 * Forward `chosen`, exactly; backward the gradient goes to `continuous` unchanged and to `chosen` not at all. Equal to
 * continuous + sg(chosen − continuous) without its rounding. Both of one shape.
 *
 * Source: Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013; as used in van den
 * Oord et al., "Neural Discrete Representation Learning", 2017, section 3.2.
 */
export function straightThrough(continuous: tf.Tensor, chosen: tf.Tensor): tf.Tensor {
  invariant(
    continuous.shape.join() === chosen.shape.join(),
    `straightThrough: shapes must be equal, got [${continuous.shape.join(", ")}] and [${chosen.shape.join(", ")}]`,
  );
  const copy = tf.customGrad(() => ({ value: stopGradient(chosen), gradFunc: (dy: tf.Tensor) => dy }));
  return copy(continuous);
}
