/** What `evaluate-prior` compares: published priors and counting baselines behind one interface. */
import { openArtifact, type Artifact } from "../shared/artifact.ts";
import { usageError } from "../shared/errors.ts";
import type { Dtype } from "../shared/onnx/quantize/dtype.ts";
import { sizeOf } from "../shared/records.ts";
import type { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { checkTokensOf, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { decodeSafetensors } from "../shared/train/safetensors.ts";
import {
  checkComputable,
  checkSameClasses,
  countPrior,
  createCountedPrior,
  isCounting,
  loadPrior,
  MEASURES,
  parsePriorManifest,
  type CountingObjective,
  type DecodingOptions,
  type HeldOutTokens,
  type Measure,
  type Prior,
  type PriorSpec,
} from "../stage2-prior/index.ts";
import type { SamplingOptions } from "./sampling.ts";

export interface JudgedPrior {
  readonly name: string;
  readonly spec: PriorSpec;
  /** What its bits/token are. */
  readonly measure: Measure;
  /** What its graph computes in; undefined for what counts. */
  readonly dtype: Dtype | undefined;
  /** Numbers in its weights; NaN for what counts, and for artefacts without weights to read. */
  readonly parameters: number;
  /** Measures and samples. @throws as `loadPrior`, `Prior.bitsPerToken` and `Prior.sample` */
  examine(request: JudgedRequest): Promise<Examined>;
}

/** @throws usage for an arithmetic that none of these priors computes in */
export function checkDtype(asked: Dtype, priors: readonly JudgedPrior[]): void {
  if (asked === "float32" || priors.some(({ dtype }) => dtype === asked)) return;
  throw usageError({
    what: "no prior here can take it",
    where: `dtype ${asked}`,
    expected: "a learnt prior",
    got: priors.map(({ name, spec }) => `${name}: ${spec.objective}`).join(", ") || "no prior",
    todo: "Leave it out, or name such a prior.",
  });
}

export interface JudgedRequest {
  /** To measure on. */
  readonly heldOut: HeldOutTokens;
  /** Samples. */
  readonly count: number;
  /** That fits the prior. */
  readonly decoding: DecodingOptions;
  readonly rng: Rng;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** What int8 costs and buys: the same graph measured in float32, on the same images. */
export interface Int8Cost {
  readonly float32BitsPerToken: number;
  /** Of int8 beyond float32. */
  readonly addedBitsPerToken: number;
  /** Seconds of measuring in float32 over those in int8. */
  readonly timeRatio: number;
}

export interface Examined {
  /** Held-out. */
  readonly bitsPerToken: number;
  /** In int8 only. */
  readonly int8Cost?: Int8Cost;
  /** [count, h, w] */
  readonly tokens: TokenGrid;
  /** Decoding steps of an image in which tokens were fixed. */
  readonly steps: number;
  /** Of sampling alone, without loading. */
  readonly seconds: number;
}

/**
 * A published prior; its graph or counts are loaded to be examined only, counts whatever the dtype.
 * @param heldOut the set that it will be measured on
 * @throws mismatch if it learnt the tokens of another tokenizer, or another grid, K or classes; usage if it cannot compute in the dtype; as
 * `openArtifact`
 */
export async function publishedPrior(
  directory: string,
  options: { spec: TokenizerSpec; heldOut: TokenSet; graph: SamplingOptions },
): Promise<JudgedPrior> {
  const { spec, graph } = options;
  const artifact = await openArtifact(directory, { kind: "prior" });
  const { manifest } = artifact;
  const own = parsePriorManifest(manifest, directory);
  checkTokensOf(spec, own, `prior ${directory}`);
  checkSameClasses(own, options.heldOut);
  const dtype = isCounting(own.objective) ? undefined : graph.dtype;
  if (dtype !== undefined) await checkComputable(artifact, dtype); // before others are measured, which takes minutes
  return {
    name: manifest.name,
    spec: own,
    measure: MEASURES[own.objective],
    dtype,
    parameters: await countParameters(artifact),
    examine: async (request) => {
      const toMeasure = { ...graph, dtype: "float32", processes: 1 } as const;
      const exact =
        dtype === "int8" ? await withPrior(directory, toMeasure, (prior) => measureTimed(prior, request)) : undefined;
      return withPrior(directory, { ...graph, dtype: dtype ?? "float32" }, (prior) => examine(prior, request, exact));
    },
  };
}

async function withPrior<Result>(
  directory: string,
  graph: SamplingOptions,
  use: (prior: Prior) => Promise<Result>,
): Promise<Result> {
  const prior = await loadPrior(directory, graph);
  try {
    return await use(prior);
  } finally {
    await prior.dispose();
  }
}

interface Measured {
  readonly bitsPerToken: number;
  readonly seconds: number;
}

/** @param exact in float32, where the prior computes in int8 */
async function examine(prior: Prior, request: JudgedRequest, exact: Measured | undefined): Promise<Examined> {
  const measured = await measureTimed(prior, request);
  const { bitsPerToken } = measured;
  const samples = await sampleTimed(prior, request);
  return { bitsPerToken, ...samples, ...(exact && { int8Cost: costOf(measured, exact) }) };
}

const costOf = (int8: Measured, float32: Measured): Int8Cost => ({
  float32BitsPerToken: float32.bitsPerToken,
  addedBitsPerToken: int8.bitsPerToken - float32.bitsPerToken,
  timeRatio: float32.seconds / int8.seconds,
});

async function measureTimed(prior: Prior, { heldOut, reporter, signal }: JudgedRequest): Promise<Measured> {
  const count = heldOut.labels.length;
  reporter.start("measure", count, { unitsPerStep: { count: 1, unit: "images" } });
  const onProgress = (share: number): void => {
    reporter.progress(Math.round(share * count));
  };
  const start = performance.now();
  const bitsPerToken = await prior.bitsPerToken(heldOut, { signal, onProgress });
  const seconds = (performance.now() - start) / 1000;
  reporter.finish();
  return { bitsPerToken, seconds };
}

async function sampleTimed(
  prior: Prior,
  { count, decoding, rng, reporter, signal }: JudgedRequest,
): Promise<Omit<Examined, "bitsPerToken">> {
  let [fixed, imageSteps] = [0, 0];
  reporter.start("sample", count * sizeOf(prior.spec.grid), { unitsPerStep: { count: 1, unit: "tokens" } });
  const start = performance.now();
  const onProgress = (newTokens: number, images: number): void => {
    if (newTokens > 0) imageSteps += images;
    reporter.progress((fixed += newTokens));
  };
  const tokens = await prior.sample({ ...decoding, count, rng, signal, onProgress });
  const seconds = (performance.now() - start) / 1000;
  reporter.finish();
  return { tokens, steps: Math.round(imageSteps / count), seconds };
}

/** Artefacts of another make may hold a graph alone. */
const WEIGHTS_FILE = "model.safetensors";

async function countParameters(artifact: Artifact): Promise<number> {
  if (!Object.hasOwn(artifact.manifest.files, WEIGHTS_FILE)) return NaN;
  const { tensors } = decodeSafetensors(await artifact.read(WEIGHTS_FILE), artifact.path(WEIGHTS_FILE));
  return Object.values(tensors).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

export interface BaselineSets {
  readonly training: TokenGrid;
  readonly heldOut: TokenGrid;
  readonly tokenizer: TokenizerSpec;
}

/** Counting priors of the training tokens, measured on the held-out ones, both not empty. Nothing is published. */
export const countingPriors = (objectives: readonly CountingObjective[], sets: BaselineSets): JudgedPrior[] =>
  objectives.map((objective) => {
    const counted = countPrior({ objective, ...sets });
    const prior = createCountedPrior(counted);
    return {
      name: prior.name,
      spec: prior.spec,
      measure: MEASURES[objective],
      dtype: undefined,
      parameters: NaN,
      examine: async (request) => ({
        bitsPerToken: counted.bitsPerToken,
        ...(await sampleTimed(prior, request)),
      }),
    };
  });
