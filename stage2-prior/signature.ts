/**
 * The signatures of priors, written once for who publishes them and who runs them. Any ONNX file that has one of them, or a file of counts,
 * with a manifest, is a prior; see artifacts/README.md.
 *
 * - masked, diffusion and pixelcnn: `tokens` int64 [N,L] (K = unknown), `class` int64 [N] → `logits` float32 [N,L,K]
 * - causal: `tokens` int64 [N,T] (K at the very start), `class` int64 [N], `past_length` int64 [1] = P, per layer `past_keys_i`, `past_values_i`
 *   float32 [N,H,R,Dh], of which the first P ≤ R rows count → `logits` float32 [N,T,K], `present_keys_i`, `present_values_i` float32 [N,H,T,Dh]:
 *   the new rows only
 * - uniform, unigram and markov2d: no graph but int32 counts, whose arrays each leaf of baselines/ names
 */

/** What a network can learn. */
export const LEARNT_OBJECTIVES = ["causal", "masked", "diffusion", "pixelcnn"] as const;
export type LearntObjective = (typeof LEARNT_OBJECTIVES)[number];

/** What is had by counting alone, from weakest to strongest. */
export const COUNTING_OBJECTIVES = ["uniform", "unigram", "markov2d"] as const;
export type CountingObjective = (typeof COUNTING_OBJECTIVES)[number];

export const OBJECTIVES = [...LEARNT_OBJECTIVES, ...COUNTING_OBJECTIVES] as const;
export type ObjectiveName = LearntObjective | CountingObjective;

export const isCounting = (objective: ObjectiveName): objective is CountingObjective =>
  COUNTING_OBJECTIVES.some((name) => name === objective);

/**
 * What held-out bits/token of an objective are: `exact` −log₂ p of the image, `bound` an upper bound on it, estimated, or the cost of a `masked`
 * token at one ratio, which says nothing of the whole image. Only the first two compare with each other.
 */
export type Measure = "exact" | "bound" | "masked";
export const MEASURES: Readonly<Record<ObjectiveName, Measure>> = {
  causal: "exact",
  masked: "masked",
  diffusion: "bound",
  pixelcnn: "exact",
  uniform: "exact",
  unigram: "exact",
  markov2d: "exact",
};
/** The same for people, to stand behind the figure. */
export const MEASURE_REMARKS: Readonly<Record<Measure, string>> = {
  exact: "exact",
  bound: "upper bound, estimated",
  masked: "a masked token, at the schedule's mean ratio",
};

export const GRAPH_FILE = "prior.onnx";
export const COUNTS_FILE = "counts.safetensors";

export const PAST_LENGTH = "past_length";
export const pastNames = (layer: number) => ({ keys: `past_keys_${layer}`, values: `past_values_${layer}` }) as const;
export const presentNames = (layer: number) =>
  ({ keys: `present_keys_${layer}`, values: `present_values_${layer}` }) as const;

/** What the manifest of a prior says beside its digests: enough to run the graph or read the counts. */
export interface PriorShape {
  readonly objective: ObjectiveName;
  readonly codebookSize: number;
  readonly grid: readonly [height: number, width: number];
  /** Names of the classes; empty if the prior is unconditional. */
  readonly classes: readonly string[];
  readonly maskSchedule: string;
}

export interface PriorSpec extends PriorShape {
  /** Of the tokenizer whose tokens it learnt. */
  readonly fingerprint: string;
}
