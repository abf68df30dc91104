/**
 * Gumbel-softmax: a sample from the encoder's distribution, relaxed to a mixture of codes so that gradients pass through the sampling, and
 * a KL divergence to the uniform prior that keeps the distribution from hardening too early. The temperature falls from
 * `temperature` to `temperatureFloor` over the run, geometrically; outside training the largest logit is taken.
 *
 * Source: Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax", 2017, equations 1 and 2; the KL as in Ramesh et al.,
 * "Zero-Shot Text-to-Image Generation" (DALL-E's dVAE), 2021, section 2.1.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { entryOf } from "../../shared/nn/state.ts";
import type { Bottled, CodebookSize, DiscreteBottleneck } from "./bottleneck.ts";
import { initialCodes, logitLeaf, logitRows, mixCodes } from "./logits.ts";
import { countCodes } from "./nearest.ts";

export interface GumbelOptions extends CodebookSize {
  /** τ at the first step and at the last. */
  readonly temperature: number;
  readonly temperatureFloor: number;
  /** Steps of the run. */
  readonly steps: number;
  /** Weight of the KL, in shares of an ELBO counted per image value. */
  readonly klWeight: number;
  /** H·W·3: values of an image. */
  readonly imageValues: number;
  /** Positions in one batch, B·h·w. */
  readonly batchTokens: number;
}

export function createGumbel(options: GumbelOptions) {
  const { codebookSize, batchTokens, klWeight, imageValues } = options;

  function forward(zE: tf.Tensor, state: Tensors, batch: Tensors): Bottled {
    const logits = logitRows(zE, codebookSize); // [N, K]
    const noise = tf.neg(tf.log(tf.neg(tf.log(entryOf(batch, "uniforms"))))); // [N, K], standard Gumbel
    const noisy = tf.add(logits, noise); // [N, K]
    const temperature = temperatureAt(entryOf(state, "step"), options);
    const y = tf.softmax<tf.Tensor2D>(tf.div(noisy, temperature)); // [N, K]
    const images = zE.shape[0];
    return {
      z: mixCodes(y, state, zE),
      terms: { kl: { value: tf.div(klToUniform(logits), images), weight: klWeight / imageValues } },
      statistics: { counts: countCodes(tf.argMax(noisy, 1), codebookSize) },
      metrics: { temperature },
    };
  }

  return {
    ...logitLeaf(options),
    name: "gumbel",
    initialState: (rng) => initialCodes(options, rng),
    drawn: {
      spec: { uniforms: { shape: [batchTokens, codebookSize], dtype: "float32" } },
      draw: (rng) => ({ uniforms: rng.fillUniform(batchTokens * codebookSize) }),
    },
    forward,
    updateState: () => ({}),
  } as const satisfies DiscreteBottleneck;
}

/** τ₀ · (τ₁ / τ₀)^(t / T), and τ₁ from step T on: scalar. */
function temperatureAt(step: tf.Tensor, { temperature, temperatureFloor, steps }: GumbelOptions): tf.Tensor {
  const progress = tf.minimum(tf.div(step, steps), 1);
  return tf.mul(tf.exp(tf.mul(progress, Math.log(temperatureFloor / temperature))), temperature);
}

/** Σ over positions of KL(softmax(logits) ‖ uniform) = log K − H, in nats: scalar. */
function klToUniform(logits: tf.Tensor2D): tf.Tensor {
  const logP = tf.logSoftmax(logits); // [N, K]
  const negativeEntropy = tf.sum(tf.mul(tf.exp(logP), logP));
  return tf.add(negativeEntropy, logits.shape[0] * Math.log(logits.shape[1]));
}
