/** What `evaluate-prior` compares: published priors and counting baselines behind one interface. */
import { openArtifact, type Artifact } from "../shared/artifact.ts";
import { sizeOf } from "../shared/records.ts";
import type { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { checkTokensOf, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { decodeSafetensors } from "../shared/train/safetensors.ts";
import {
  checkSameClasses,
  countPrior,
  createCountedPrior,
  loadPrior,
  MEASURES,
  parsePriorManifest,
  SAMPLE_BATCH,
  type CountingObjective,
  type DecodingOptions,
  type HeldOutTokens,
  type Measure,
  type Prior,
  type PriorSpec,
} from "../stage2-prior/index.ts";

export interface JudgedPrior {
  readonly name: string;
  readonly spec: PriorSpec;
  /** What its bits/token are. */
  readonly measure: Measure;
  /** Numbers in its weights; NaN for what counts, and for artefacts without weights to read. */
  readonly parameters: number;
  /** Measures and samples. @throws as `loadPrior`, `Prior.bitsPerToken` and `Prior.sample` */
  examine(request: JudgedRequest): Promise<Examined>;
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

export interface Examined {
  /** Held-out. */
  readonly bitsPerToken: number;
  /** [count, h, w] */
  readonly tokens: TokenGrid;
  /** Decoding steps of an image in which tokens were fixed. */
  readonly steps: number;
  /** Of sampling alone, without loading. */
  readonly seconds: number;
}

/**
 * A published prior; its graph or counts are loaded to be examined only.
 * @param heldOut the set that it will be measured on
 * @throws mismatch if it learnt the tokens of another tokenizer, or another grid, K or classes; as `openArtifact`
 */
export async function publishedPrior(
  directory: string,
  options: { spec: TokenizerSpec; heldOut: TokenSet; threads: { readonly threads?: number } },
): Promise<JudgedPrior> {
  const { spec, threads } = options;
  const artifact = await openArtifact(directory, { kind: "prior" });
  const { manifest } = artifact;
  const own = parsePriorManifest(manifest, directory);
  checkTokensOf(spec, own, `prior ${directory}`);
  checkSameClasses(own, options.heldOut);
  return {
    name: manifest.name,
    spec: own,
    measure: MEASURES[own.objective],
    parameters: await countParameters(artifact),
    examine: async (request) => {
      const prior = await loadPrior(directory, threads);
      try {
        return await examine(prior, request);
      } finally {
        await prior.dispose();
      }
    },
  };
}

async function examine(prior: Prior, request: JudgedRequest): Promise<Examined> {
  const bitsPerToken = await measureReporting(prior, request);
  return { bitsPerToken, ...(await sampleTimed(prior, request)) };
}

async function measureReporting(prior: Prior, { heldOut, reporter, signal }: JudgedRequest): Promise<number> {
  const count = heldOut.labels.length;
  reporter.start("measure", count, { unitsPerStep: { count: 1, unit: "images" } });
  const onProgress = (share: number): void => {
    reporter.progress(Math.round(share * count));
  };
  const bitsPerToken = await prior.bitsPerToken(heldOut, { signal, onProgress });
  reporter.finish();
  return bitsPerToken;
}

async function sampleTimed(
  prior: Prior,
  { count, decoding, rng, reporter, signal }: JudgedRequest,
): Promise<Omit<Examined, "bitsPerToken">> {
  let [fixed, reports] = [0, 0];
  reporter.start("sample", count * sizeOf(prior.spec.grid), { unitsPerStep: { count: 1, unit: "tokens" } });
  const start = performance.now();
  const onProgress = (newTokens: number): void => {
    if (newTokens > 0) reports++;
    reporter.progress((fixed += newTokens));
  };
  const tokens = await prior.sample({ ...decoding, count, rng, signal, onProgress });
  const seconds = (performance.now() - start) / 1000;
  reporter.finish();
  return { tokens, steps: Math.round(reports / Math.ceil(count / SAMPLE_BATCH)), seconds };
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
      parameters: NaN,
      examine: async (request) => ({
        bitsPerToken: counted.bitsPerToken,
        ...(await sampleTimed(prior, request)),
      }),
    };
  });
