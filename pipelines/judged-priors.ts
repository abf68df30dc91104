/** What `evaluate-prior` compares: published priors and counting baselines behind one interface. */
import { openArtifact, type Artifact } from "../shared/artifact.ts";
import { mismatch } from "../shared/errors.ts";
import { sizeOf } from "../shared/records.ts";
import type { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { checkFingerprint, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { decodeSafetensors } from "../shared/train/safetensors.ts";
import {
  checkSameClasses,
  COUNTING_PRIORS,
  loadPrior,
  MEASURES,
  parsePriorManifest,
  SAMPLE_BATCH,
  type HeldOutTokens,
  type Measure,
  type Prior,
} from "../stage2-prior/index.ts";

export interface JudgedPrior {
  readonly name: string;
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
 * A published prior; its graph is loaded to be examined only.
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
  checkFingerprint(spec.fingerprint, own.fingerprint, `prior ${directory}`);
  const describe = ({ grid, codebookSize }: Pick<TokenizerSpec, "grid" | "codebookSize">): string =>
    `grid ${grid.join("×")}, K = ${codebookSize}`;
  if (describe(spec) !== describe(own)) {
    const [expected, got] = [describe(spec), describe(own)];
    throw mismatch({ what: "makes no tokens of this tokenizer", where: `prior ${directory}`, expected, got });
  }
  checkSameClasses(own, options.heldOut);
  return {
    name: manifest.name,
    measure: MEASURES[own.objective],
    parameters: await countParameters(artifact),
    examine: async (request) => {
      const prior = await loadPrior(directory, threads);
      try {
        const bitsPerToken = await measureReporting(prior, request);
        const sampled = await sampleTimed(request, own.grid, (onProgress) =>
          prior.sample({
            count: request.count,
            rng: request.rng,
            signal: request.signal,
            onProgress,
          }),
        );
        return { bitsPerToken, ...sampled };
      } finally {
        await prior.dispose();
      }
    },
  };
}

async function measureReporting(
  prior: Pick<Prior, "bitsPerToken">,
  { heldOut, reporter, signal }: JudgedRequest,
): Promise<number> {
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
  { count, reporter }: JudgedRequest,
  grid: TokenizerSpec["grid"],
  sample: (onProgress: (newTokens: number) => void) => Promise<TokenGrid>,
): Promise<Omit<Examined, "bitsPerToken">> {
  let [fixed, reports] = [0, 0];
  reporter.start("sample", count * sizeOf(grid), { unitsPerStep: { count: 1, unit: "tokens" } });
  const start = performance.now();
  const tokens = await sample((newTokens) => {
    if (newTokens > 0) reports++;
    reporter.progress((fixed += newTokens));
  });
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

/** All counting priors, fitted on `training`, which is not empty. */
export function countingPriors(training: TokenGrid, spec: TokenizerSpec): JudgedPrior[] {
  const { grid, codebookSize } = spec;
  return Object.values(COUNTING_PRIORS).map((fit) => {
    const prior = fit(training, codebookSize);
    return {
      name: prior.name,
      measure: "exact",
      parameters: NaN,
      examine: ({ heldOut, count, rng }) => {
        const bitsPerToken = prior.bitsPerToken(heldOut.tokens);
        const start = performance.now();
        const tokens = prior.sample({ count, grid, rng });
        const seconds = (performance.now() - start) / 1000;
        return Promise.resolve({ bitsPerToken, tokens, steps: sizeOf(grid), seconds });
      },
    };
  });
}
