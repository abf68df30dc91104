/** The learnt spread of a likelihood, one per colour, kept as its logarithm. */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { entryOf, type WeightSpecs } from "../../shared/nn/state.ts";

const LOG_SCALE = "likelihood.logScale";

/** Levels between 0 and 255 are 1/255 apart on the images' scale. */
export const LEVEL = 1 / 255;

/** Starts at e^−2 ≈ 0.14 of the images' range. */
export const scaleSpecs: WeightSpecs = { [LOG_SCALE]: { shape: [3], init: () => -2 } };

/** log s, at least that of a tenth of a level: [3]. */
export function logScale(weights: Tensors): tf.Tensor {
  return tf.maximum(entryOf(weights, LOG_SCALE), Math.log(LEVEL / 10));
}
