/** A judge of samples: holds what training and held-out images look like, and gives the figures of any images beside them. */
import type { TokenGrid } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { createGaussianMeter, frechetDistance, type FeatureExtractor } from "../stage1-tokenizer/index.ts";
import {
  countPairs,
  countTokens,
  createManifold,
  jensenShannon,
  median,
  memorisationFigures,
  nearestByFeatures,
  nearestByTokens,
  NEIGHBOURS,
  precisionRecall,
  type Manifold,
  type Vectors,
} from "../stage2-prior/index.ts";

export interface Samples {
  /** [N, h, w], N at least 1 */
  readonly tokens: TokenGrid;
  /** uint8 [N, H, W, 3], as decoded */
  readonly images: Uint8Array;
}

export interface TokenFigures {
  /** Jensen–Shannon divergence from the training tokens, in bits. */
  readonly tokenDivergence: number;
  /** The same of neighbouring pairs; NaN in grids of one token. */
  readonly pairDivergence: number;
  /** Share of tokens that the most memorised sample has in common with a training image. */
  readonly largestShare: number;
  /** Samples that share more than 90 % of their tokens with a training image. */
  readonly copies: number;
  /** Index of the most memorised sample, and of the training image it is closest to. */
  readonly mostMemorised: number;
  readonly nearest: number;
}

/** NaN where there are no features or too few images. */
export interface FeatureFigures {
  /** d² to the held-out images. */
  readonly frechetHeldOut: number;
  /** d² to the training images. */
  readonly frechetTraining: number;
  /** Against the held-out images. */
  readonly precision: number;
  readonly recall: number;
  /** Median distance to the nearest training image, over that of held-out images: far below 1, the samples repeat. */
  readonly distanceRatio: number;
}

export type SampleFigures = TokenFigures & FeatureFigures;

export interface ReferenceFeatures {
  readonly extractor: FeatureExtractor;
  /** Not empty; of the images themselves where they are to be had. */
  readonly training: Vectors;
  readonly heldOut: Vectors;
}

export type Judge = (samples: Samples) => Promise<SampleFigures>;

/** @param training not empty. @param features none, no figures on them */
export function createJudge(options: {
  readonly training: TokenGrid;
  readonly codebookSize: number;
  readonly features: ReferenceFeatures | undefined;
  readonly reporter: Reporter;
}): Judge {
  const { training, codebookSize, features } = options;
  const onTokens = createTokenJudge(training, codebookSize);
  const onFeatures = features === undefined ? () => Promise.resolve(NO_FIGURES) : createFeatureJudge(features, options);
  return async (samples) => ({ ...onTokens(samples.tokens), ...(await onFeatures(samples)) });
}

const NO_FIGURES: FeatureFigures = {
  frechetHeldOut: NaN,
  frechetTraining: NaN,
  precision: NaN,
  recall: NaN,
  distanceRatio: NaN,
};

function createTokenJudge(training: TokenGrid, codebookSize: number): (samples: TokenGrid) => TokenFigures {
  const [tokens, pairs] = [countTokens(training, codebookSize), countPairs(training, codebookSize)];
  return (samples) => {
    const { indices, shares } = nearestByTokens(samples, training);
    const { largestShare, copies, mostMemorised } = memorisationFigures(shares);
    return {
      tokenDivergence: jensenShannon(countTokens(samples, codebookSize), tokens),
      pairDivergence: jensenShannon(countPairs(samples, codebookSize), pairs),
      ...{ largestShare, copies, mostMemorised },
      nearest: indices[mostMemorised] ?? 0,
    };
  };
}

function createFeatureJudge(
  { extractor, training, heldOut }: ReferenceFeatures,
  { reporter }: { readonly reporter: Reporter },
): (samples: Samples) => Promise<FeatureFigures> {
  const manifold = manifoldOf(heldOut);
  const usual = median(nearestByFeatures(heldOut, training).distances);
  let warned = false;
  const warnOnce = (count: number, size: number): void => {
    if (!warned && count <= size) {
      reporter.warn(`Fréchet distance: ${count} samples for ${size} features give a singular covariance`);
    }
    warned = true;
  };
  return async ({ images, tokens }) => {
    const [count] = tokens.shape;
    const samples = await extractor.extract(images, count);
    warnOnce(count, samples.size);
    return {
      frechetHeldOut: frechetOf(samples, heldOut),
      frechetTraining: frechetOf(samples, training),
      ...compared(manifold, manifoldOf(samples)),
      distanceRatio: median(nearestByFeatures(samples, training).distances) / usual,
    };
  };
}

const countOf = ({ features, size }: Vectors): number => features.length / size;

function frechetOf(a: Vectors, b: Vectors): number {
  if (countOf(a) < 2 || countOf(b) < 2) return NaN;
  const [first, second] = [a, b].map(({ features, size }) => {
    const meter = createGaussianMeter();
    meter.add(features, size);
    return meter.gaussian();
  });
  return first === undefined || second === undefined ? NaN : frechetDistance(first, second);
}

/** Undefined of so few that they have not enough neighbours. */
const manifoldOf = (vectors: Vectors): Manifold | undefined =>
  countOf(vectors) > NEIGHBOURS ? createManifold(vectors) : undefined;

function compared(data: Manifold | undefined, samples: Manifold | undefined) {
  return data === undefined || samples === undefined ? { precision: NaN, recall: NaN } : precisionRecall(data, samples);
}
