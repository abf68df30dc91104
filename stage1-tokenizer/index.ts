/**
 * The front door of stage 1: what pipelines may use. Training loads TensorFlow.js and is therefore behind `loadTraining`; everything
 * else here is inference and images.
 */
export {
  BOTTLENECKS,
  gridOf,
  makesTokens,
  parseTokenizerConfig,
  RECONSTRUCTIONS,
  type BottleneckName,
  type TokenizerConfig,
} from "./config.ts";
export { measureTokenizer, type ModelFigures, type Reconstructed, type TokenizerFigures } from "./evaluate.ts";
export { type FeatureExtractor, hasTokenizerFeatures, openFeatureExtractor, tokenizerFeatures } from "./features.ts";
export { createGaussianMeter, frechetDistance } from "./frechet.ts";
export type { PublishTokenizerOptions, TrainedTokenizer } from "./export.ts";
export { describeFinding, diagnose, trainingFigures, type Finding, type TrainingFigures } from "./health.ts";
export * from "./images/index.ts";
export { TOKENIZER_PRESETS, tokenizerConfig, type TokenizerPreset } from "./presets.ts";
export { loadAutoencoder, type Autoencoder } from "./autoencoder.ts";
export { loadTokenizer, type Tokenizer } from "./tokenizer.ts";
export type { TokenizerRun, TrainTokenizerOptions } from "./train.ts";

/** The training half, loaded on demand. */
export async function loadTokenizerTraining() {
  const [{ trainTokenizer }, { publishTokenizer }, { estimatorNoise }] = await Promise.all([
    import("./train.ts"),
    import("./export.ts"),
    import("./estimator-noise.ts"),
  ]);
  return { trainTokenizer, publishTokenizer, estimatorNoise };
}
