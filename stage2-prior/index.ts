/**
 * The front door of stage 2: what pipelines may use. Training loads TensorFlow.js and is therefore behind `loadPriorTraining`; everything else here
 * is inference, sampling and counting, published or not.
 */
export type { CountingPrior } from "./baselines/counting-prior.ts";
export { PRIOR_PRESETS, priorConfig, type PriorConfig, type PriorPreset } from "./config.ts";
export {
  countedThings,
  countPrior,
  publishCountingPrior,
  trainCountingPrior,
  type CountedPrior,
  type CountPriorOptions,
  type PublishCountingOptions,
  type TrainCountingOptions,
} from "./counted.ts";
export {
  checkDecoding,
  drawsInRasterOrder,
  SAMPLER_NAMES,
  samplerOf,
  type DecodingOptions,
  type SamplerName,
} from "./decoding.ts";
export type { PublishPriorOptions, TrainedPrior } from "./export.ts";
export type { HeldOutTokens, MeasureOptions } from "./held-out.ts";
export { importPrior, type ImportedPrior, type ImportPriorOptions } from "./import.ts";
export { countPairs, countTokens, jensenShannon, type SparseCounts } from "./judge/divergence.ts";
export { memorisationFigures, median, nearestByFeatures, nearestByTokens } from "./judge/memorisation.ts";
export { createManifold, type Manifold, NEIGHBOURS, precisionRecall } from "./judge/precision-recall.ts";
export type { Vectors } from "./judge/vectors.ts";
export { checkComputable } from "./learnt.ts";
export { parsePriorManifest } from "./manifest.ts";
export { MASK_SCHEDULES, maskSchedule } from "./mask-schedule.ts";
export {
  createCountedPrior,
  loadPrior,
  SAMPLE_BATCH,
  type Prior,
  type SampleRequest,
  type StepsRequest,
} from "./prior.ts";
export { usualSampleProcesses } from "./sample-processes.ts";
export { GUIDANCE_SCHEDULES, type Guidance, type GuidanceSchedule } from "./sample/guidance.ts";
export type { SampleProgress, SampleSteps } from "./sample/sampler.ts";
export {
  COUNTING_OBJECTIVES,
  isCounting,
  LEARNT_OBJECTIVES,
  MEASURE_REMARKS,
  MEASURES,
  OBJECTIVES,
  type CountingObjective,
  type LearntObjective,
  type Measure,
  type ObjectiveName,
  type PriorSpec,
} from "./signature.ts";
export { checkSameClasses } from "./token-data.ts";
export type { PriorRun, TrainPriorOptions } from "./train.ts";

/** The training half, loaded on demand. */
export async function loadPriorTraining() {
  const [{ trainPrior }, { publishPrior }] = await Promise.all([import("./train.ts"), import("./export.ts")]);
  return { trainPrior, publishPrior };
}
