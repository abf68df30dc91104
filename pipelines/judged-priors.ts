/** What `evaluate-prior` compares: published priors and counting baselines behind one interface. */
import { openArtifact, type Artifact } from "../shared/artifact.ts";
import { mismatch } from "../shared/errors.ts";
import { sizeOf } from "../shared/records.ts";
import type { Rng } from "../shared/rng.ts";
import { checkFingerprint, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { decodeSafetensors } from "../shared/train/safetensors.ts";
import {
  countPrior,
  createCountedPrior,
  loadPrior,
  MEASURES,
  parsePriorManifest,
  SAMPLE_BATCH,
  type CountingObjective,
  type Measure,
  type ObjectiveName,
  type Prior,
} from "../stage2-prior/index.ts";

export interface JudgedPrior {
  readonly name: string;
  readonly objective: ObjectiveName;
  /** Held-out; NaN where the manifest does not say. */
  readonly bitsPerToken: number;
  readonly measure: Measure;
  /** Numbers in its weights; NaN for what counts, and for artefacts without weights to read. */
  readonly parameters: number;
  /** @throws as `loadPrior` and `Prior.sample` */
  sample(request: JudgedRequest): Promise<JudgedSample>;
}

export interface JudgedRequest {
  readonly count: number;
  readonly rng: Rng;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

export interface JudgedSample {
  /** [count, h, w] */
  readonly tokens: TokenGrid;
  /** Decoding steps of an image in which tokens were fixed. */
  readonly steps: number;
  /** Of sampling alone, without loading. */
  readonly seconds: number;
}

/**
 * A published prior; its graph or counts are loaded for sampling only.
 * @throws mismatch if it learnt the tokens of another tokenizer, or another grid or K; as `openArtifact`
 */
export async function publishedPrior(
  directory: string,
  { spec, threads }: { spec: TokenizerSpec; threads: { readonly threads?: number } },
): Promise<JudgedPrior> {
  const artifact = await openArtifact(directory, { kind: "prior" });
  const { manifest } = artifact;
  const own = parsePriorManifest(manifest, directory);
  checkFingerprint(spec.fingerprint, own.fingerprint, `prior ${directory}`);
  const describe = ({ grid, codebookSize }: Pick<TokenizerSpec, "grid" | "codebookSize">): string =>
    `grid ${grid.join("×")}, K = ${codebookSize}`;
  if (describe(spec) !== describe(own)) {
    const [expected, got] = [describe(spec), describe(own)];
    throw mismatch({ what: "makes no tokens of this tokenizer", where: `prior ${directory}`, expected, got });
  }
  return {
    name: manifest.name,
    objective: own.objective,
    bitsPerToken: manifest.provenance.metrics?.["bitsPerToken"] ?? NaN,
    measure: MEASURES[own.objective],
    parameters: await countParameters(artifact),
    sample: async (request) => {
      const prior = await loadPrior(directory, threads);
      try {
        return await sampleTimed(prior, request);
      } finally {
        await prior.dispose();
      }
    },
  };
}

async function sampleTimed(prior: Prior, { count, rng, reporter, signal }: JudgedRequest): Promise<JudgedSample> {
  let [fixed, reports] = [0, 0];
  reporter.start("sample", count * sizeOf(prior.spec.grid), { unitsPerStep: { count: 1, unit: "tokens" } });
  const start = performance.now();
  const onProgress = (newTokens: number): void => {
    if (newTokens > 0) reports++;
    reporter.progress((fixed += newTokens));
  };
  const tokens = await prior.sample({ count, rng, signal, onProgress });
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
      objective,
      bitsPerToken: counted.bitsPerToken,
      measure: MEASURES[objective],
      parameters: NaN,
      sample: (request) => sampleTimed(prior, request),
    };
  });
