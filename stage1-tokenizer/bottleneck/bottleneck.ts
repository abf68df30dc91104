/**
 * What a bottleneck is: the step from what the encoder says, zE, to what the decoder is given, z. Discrete leaves choose one of K codes
 * per position and make tokens; continuous ones keep numbers. `create-bottleneck.ts` chooses the leaf. Knows no encoder, no decoder
 * and no optimizer.
 *
 * Worked example, `vq`: zE [16, 32, 32, 32] (16 images, 32×32 positions, D = 32) and a codebook [512, 32] give indices [16, 32, 32]
 * in 0 … 511 and z [16, 32, 32, 32], whose rows are the chosen codebook rows (zQ in the paper). `gumbel` wants zE [16, 32, 32, 512],
 * a logit per code, and gives z of the same shape as before.
 */
import type { Arrays, Signature, Tensors } from "../../shared/engine/engine.ts";
import type { tf } from "../../shared/engine/tf.ts";
import type { InitialState } from "../../shared/nn/state.ts";
import type { Rng } from "../../shared/rng.ts";
import type { Clusters } from "./k-means.ts";

/** A part of the loss beside reconstruction. The loss grows by weight · value; `value` is what is reported. */
export interface Term {
  /** Scalar. */
  readonly value: tf.Tensor;
  readonly weight: number | tf.Tensor;
}
export type Terms = Readonly<Record<string, Term>>;

/** What one pass through the bottleneck gives in training. */
export interface Bottled {
  /** [B, h, w, decoderChannels] */
  readonly z: tf.Tensor;
  /** By name: `commitmentLoss`, `kl`, … */
  readonly terms: Terms;
  /** What `updateState` needs of this batch; without gradient. Discrete leaves put `counts` among them: float32 [K], positions given to each code. */
  readonly statistics: Tensors;
  /** Further scalars to report, without gradient. */
  readonly metrics: Tensors;
  /**
   * For estimators that must know how well the decoder did: further terms and statistics, given each image's reconstruction loss [B],
   * cut from the gradient.
   */
  readonly afterDecoding?: (lossPerImage: tf.Tensor) => Pick<Bottled, "terms" | "statistics">;
}

/** `state` is the whole flat state, of which each method reads its own part; all of them are pure functions of tensors. */
interface CommonBottleneck {
  readonly name: string;
  /** Channels of zE: what the encoder must end in. */
  readonly encoderChannels: number;
  /** Channels of z: what the decoder starts from. */
  readonly decoderChannels: number;

  /** The state entries it owns: `weight/codebook.…` if trained by gradient, `codebook/…` otherwise. */
  initialState(rng: Rng): InitialState;

  /** What one step draws on the host and hands in with the batch: names, shapes, and the draw itself. */
  readonly drawn: { readonly spec: Signature; draw: (rng: Rng) => Arrays };

  /** zE [B, h, w, encoderChannels] → z, terms of the loss and statistics; `batch` holds the entries of `drawn`. */
  forward(zE: tf.Tensor, state: Tensors, batch: Tensors): Bottled;

  /** New values of all its `codebook/…` entries, after a step whose `forward` used the old ones. */
  updateState(state: Tensors, statistics: Tensors): Tensors;
}

export interface DiscreteBottleneck extends CommonBottleneck {
  readonly kind: "discrete";
  /** K */
  readonly codebookSize: number;

  /** zE [B, h, w, encoderChannels] → int32 [B, h, w] in 0 … K−1: the choice without noise. */
  assign(zE: tf.Tensor, state: Tensors): tf.Tensor;

  /** int32 tokens [B, h, w] → what the decoder gets for them [B, h, w, decoderChannels]. */
  lookup(tokens: tf.Tensor, state: Tensors): tf.Tensor;

  /** For leaves whose codes live in the space of zE: how a codebook starts at clusters of encoder outputs. */
  readonly kMeansStart?: KMeansStart;
}

export interface KMeansStart {
  /** D */
  readonly codeDimension: number;
  /** zE [B, h, w, D] → the points to cluster, same shape. */
  points(zE: tf.Tensor): tf.Tensor;
  /** New values of the state entries that start the codebook at `clusters` of such points. */
  startFrom(clusters: Clusters): Arrays;
}

/** A normal distribution of each latent, independent of the others. */
export interface Posterior {
  /** [B, …latentShape] */
  readonly mean: tf.Tensor;
  readonly logVariance: tf.Tensor;
}

export interface ContinuousBottleneck extends CommonBottleneck {
  readonly kind: "continuous";
  /** Sizes of one image's latent, without the batch: [h, w, D] or [D]. */
  readonly latentShape: readonly number[];
  /** The VAEs' q(z | x); absent where latents have no distribution, and can therefore not be drawn. */
  readonly posterior?: (zE: tf.Tensor, state: Tensors) => Posterior;

  /** zE [B, h, w, encoderChannels] → the latent without noise [B, …latentShape]. */
  latent(zE: tf.Tensor, state: Tensors): tf.Tensor;

  /** [B, …latentShape] → what the decoder gets for it [B, h, w, decoderChannels]. */
  fromLatent(latent: tf.Tensor, state: Tensors): tf.Tensor;
}

export type Bottleneck = DiscreteBottleneck | ContinuousBottleneck;

/** What every leaf that looks codes up is told. */
export interface CodebookSize {
  /** K */
  readonly codebookSize: number;
  /** D */
  readonly codeDimension: number;
}
