/**
 * The continuous VAE: the encoder gives mean and log-variance of a normal posterior, z is drawn from it by reparameterisation, and its KL
 * divergence to the standard normal prior is charged. Two leaves: a map of latents over the grid, and one vector for the whole
 * image (the lectures' VAE; with D = 2 its latent space can be drawn).
 *
 * Source: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, equation 10 and appendix B; β as in Higgins et al., "β-VAE",
 * 2017; free bits as in Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", 2016, appendix C.8.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { linear, linearSpec } from "../../shared/nn/layers.ts";
import { entryOf, group, initialise, layer, prefixState } from "../../shared/nn/state.ts";
import type { Rng } from "../../shared/rng.ts";
import type { Bottled, ContinuousBottleneck, Posterior } from "./bottleneck.ts";
import { checkChannels } from "./nearest.ts";

export interface GaussianOptions {
  /** [h, w] */
  readonly grid: readonly [height: number, width: number];
  /** D: channels of the map, or length of the vector. */
  readonly codeDimension: number;
  readonly batchSize: number;
  /** β; at 1, and with a likelihood for reconstruction, the loss is −ELBO per image value. */
  readonly klWeight: number;
  /** Nats of KL a channel may have for nothing, summed over its positions. */
  readonly freeBits: number;
  /** H·W·3: values of an image. */
  readonly imageValues: number;
}

/** exp of anything beyond is no variance a float can be trusted with. */
const LOG_VARIANCE_RANGE = [-14, 8] as const;

/** A latent of D channels at every position of the grid. */
export function createGaussian(options: GaussianOptions) {
  const { grid, codeDimension } = options;
  const latentShape = [...grid, codeDimension];
  const posterior = (zE: tf.Tensor): Posterior => {
    checkChannels(zE, 2 * codeDimension);
    return splitPosterior(zE);
  };
  return {
    kind: "continuous",
    name: "gaussian",
    encoderChannels: 2 * codeDimension,
    decoderChannels: codeDimension,
    latentShape,
    posterior,
    initialState: () => ({ spec: {}, values: {} }),
    drawn: noiseOf(options, latentShape),
    forward: (zE: tf.Tensor, _state: Tensors, batch: Tensors) => {
      const q = posterior(zE);
      return { z: sampleLatent(q, entryOf(batch, "noise")), ...charge(q, options) };
    },
    latent: (zE: tf.Tensor) => posterior(zE).mean,
    fromLatent: (latent: tf.Tensor) => latent,
    updateState: () => ({}),
  } as const satisfies ContinuousBottleneck;
}

/** Channels of the maps beside the vector: zE is flattened to the posterior, z is grown from the vector. */
const MAP_CHANNELS = 16;

/** One latent vector of length D an image, between two linear maps. */
export function createGaussianVector(options: GaussianOptions) {
  const { grid, codeDimension } = options;
  const mapShape = [...grid, MAP_CHANNELS];
  const mapSize = grid[0] * grid[1] * MAP_CHANNELS;
  const specs = {
    ...linearSpec("codebook.toLatent", { from: mapSize, to: 2 * codeDimension }),
    ...linearSpec("codebook.fromLatent", { from: codeDimension, to: mapSize }),
  };
  const posterior = (zE: tf.Tensor, state: Tensors): Posterior => {
    checkChannels(zE, MAP_CHANNELS);
    const flat = tf.reshape(tf.relu(zE), [-1, mapSize]);
    return splitPosterior(linear(flat, layer(group(state, "weight"), "codebook.toLatent"))); // [B, D]
  };
  const fromLatent = (latent: tf.Tensor, state: Tensors): tf.Tensor => {
    const grown = linear(latent, layer(group(state, "weight"), "codebook.fromLatent"));
    return tf.reshape(grown, [-1, ...mapShape]); // [B, h, w, C]
  };
  return {
    kind: "continuous",
    name: "gaussian-vector",
    encoderChannels: MAP_CHANNELS,
    decoderChannels: MAP_CHANNELS,
    latentShape: [codeDimension],
    posterior,
    initialState: (rng: Rng) => prefixState(initialise(specs, rng), "weight"),
    drawn: noiseOf(options, [codeDimension]),
    forward: (zE: tf.Tensor, state: Tensors, batch: Tensors) => {
      const q = posterior(zE, state);
      return { z: fromLatent(sampleLatent(q, entryOf(batch, "noise")), state), ...charge(q, options) };
    },
    latent: (zE: tf.Tensor, state: Tensors) => posterior(zE, state).mean,
    fromLatent,
    updateState: () => ({}),
  } as const satisfies ContinuousBottleneck;
}

/** Last axis of 2D → mean and log-variance of D each. */
function splitPosterior(x: tf.Tensor): Posterior {
  const [mean, logVariance] = tf.split(x, 2, -1);
  return {
    mean: mean as tf.Tensor,
    logVariance: tf.clipByValue(logVariance as tf.Tensor, ...LOG_VARIANCE_RANGE),
  };
}

function noiseOf({ batchSize }: GaussianOptions, latentShape: readonly number[]): ContinuousBottleneck["drawn"] {
  const shape = [batchSize, ...latentShape];
  const length = shape.reduce((size, n) => size * n, 1);
  return {
    spec: { noise: { shape, dtype: "float32" } },
    draw: (rng) => ({ noise: rng.fill(length, (stream) => stream.normal()) }),
  };
}

/** z = μ + σ·ε: all of one shape. */
export function sampleLatent({ mean, logVariance }: Posterior, noise: tf.Tensor): tf.Tensor {
  return tf.add(mean, tf.mul(tf.exp(tf.mul(logVariance, 0.5)), noise));
}

/** ½ Σ (σ² + μ² − 1 − log σ²) over each image's latents, in nats: [B]. */
export function klPerImage(posterior: Posterior): tf.Tensor {
  const each = klTerms(posterior);
  return tf.mul(tf.sum(tf.reshape(each, [each.shape[0], -1]), 1), 0.5);
}

/** The KL of the posterior: the term `kl` as charged, the metric `klNats` as it is, both in nats an image. */
function charge(posterior: Posterior, options: GaussianOptions): Pick<Bottled, "terms" | "statistics" | "metrics"> {
  const each = klTerms(posterior);
  const overImages = tf.sum(tf.reshape(each, [-1, options.codeDimension]), 0); // [D], over positions too
  const perChannel = tf.mul(overImages, 0.5 / each.shape[0]);
  const charged = options.freeBits > 0 ? tf.maximum(perChannel, options.freeBits) : perChannel;
  return {
    terms: { kl: { value: tf.sum(charged), weight: options.klWeight / options.imageValues } },
    statistics: {},
    metrics: { klNats: tf.sum(perChannel) },
  };
}

/** σ² + μ² − 1 − log σ² of each latent: [B, …latentShape]. */
function klTerms({ mean, logVariance }: Posterior): tf.Tensor {
  return tf.sub(tf.add(tf.exp(logVariance), tf.square(mean)), tf.add(logVariance, 1));
}
