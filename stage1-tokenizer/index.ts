/**
 * The front door of stage 1: what pipelines may use. Training loads TensorFlow.js and is therefore behind `loadTraining`; everything
 * else here is inference and images.
 */
export {
  BOTTLENECKS,
  gridOf,
  makesTokens,
  RECONSTRUCTIONS,
  type BottleneckName,
  type TokenizerConfig,
} from "./config.ts";
export { measureTokenizer, type ModelFigures, type Reconstructed, type TokenizerFigures } from "./evaluate.ts";
export { type FeatureExtractor, hasTokenizerFeatures, openFeatureExtractor, tokenizerFeatures } from "./features.ts";
export { createGaussianMeter, frechetDistance } from "./frechet.ts";
export type { PublishTokenizerOptions, TrainedTokenizer } from "./export.ts";
export * from "./images/index.ts";
export { TOKENIZER_PRESETS, tokenizerConfig, type TokenizerPreset } from "./presets.ts";
export { loadTokenizer, type Tokenizer } from "./tokenizer.ts";
export type { TokenizerRun, TrainTokenizerOptions } from "./train.ts";

/** The training half, loaded on demand. */
export async function loadTokenizerTraining() {
  const [{ trainTokenizer }, { publishTokenizer }] = await Promise.all([import("./train.ts"), import("./export.ts")]);
  return { trainTokenizer, publishTokenizer };
}
