/**
 * Priors that only count, as artefacts: tokens → counts → `counts.safetensors` → a network for the causal sampler. What is counted is the
 * business of baselines/. Loads no TensorFlow.js and no runtime: there is nothing to train.
 */
import { createProvenance, publishArtifact, type Artifact, type Provenance } from "../shared/artifact.ts";
import { badInput } from "../shared/errors.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import type { TokenGrid } from "../shared/tokens.ts";
import { decodeSafetensors, encodeSafetensors, type SafeTensor } from "../shared/train/safetensors.ts";
import { createCountingNetwork } from "./baselines/counting-network.ts";
import { fitCounting, type CountingPrior, type Counts } from "./baselines/counting-prior.ts";
import { COUNTING_PRIORS } from "./baselines/index.ts";
import type { Networks } from "./decoding.ts";
import { checkImages } from "./held-out.ts";
import { priorManifestConfig } from "./manifest.ts";
import { COUNTS_FILE, MEASURE_REMARKS, MEASURES, type CountingObjective, type PriorSpec } from "./signature.ts";
import { loadSplit } from "./token-data.ts";

export interface CountedSpec extends PriorSpec {
  readonly objective: CountingObjective;
}

export interface CountedPrior {
  readonly spec: CountedSpec;
  readonly counting: CountingPrior;
  /** Held-out. */
  readonly bitsPerToken: number;
}

export interface CountPriorOptions {
  readonly objective: CountingObjective;
  /** Counted; not empty. */
  readonly training: TokenGrid;
  /** Measured on; not empty. */
  readonly heldOut: TokenGrid;
  /** Of the tokenizer whose tokens these are, K and the tokenizer's fingerprint. */
  readonly tokenizer: Pick<PriorSpec, "codebookSize" | "fingerprint">;
}

/** Counts a grid of tokens and measures on another. @throws bad-input if one is empty or holds anything but codes */
export function countPrior({ objective, training, heldOut, tokenizer }: CountPriorOptions): CountedPrior {
  const { codebookSize, fingerprint } = tokenizer;
  const [, height, width] = training.shape;
  const counting = fitCounting(COUNTING_PRIORS[objective], training, codebookSize);
  const shape = { objective, codebookSize, grid: [height, width], classes: [], maskSchedule: "cosine" } as const;
  return { spec: { ...shape, fingerprint }, counting, bitsPerToken: counting.bitsPerToken(heldOut) };
}

export interface TrainCountingOptions {
  readonly objective: CountingObjective;
  readonly training: TokenSet;
  /** Measured on; the last 5 % of the training set (then not counted) where there is none. */
  readonly heldOut?: TokenSet | undefined;
}

/** The same of token sets. @throws mismatch if the held-out tokens are of another making; bad-input if a set is empty or damaged */
export async function trainCountingPrior(options: TrainCountingOptions): Promise<CountedPrior> {
  const { objective, training: set } = options;
  const { training, heldOut } = await loadSplit(options);
  const gridOf = ({ tokens, keys }: typeof training): TokenGrid => ({
    tokens,
    shape: [keys.length, ...set.header.grid],
  });
  return countPrior({ objective, training: gridOf(training), heldOut: gridOf(heldOut), tokenizer: set.header });
}

export interface PublishCountingOptions {
  readonly directory: string;
  readonly provenance?: Partial<Provenance>;
  readonly overwrite?: boolean;
}

/** @throws usage if the directory exists; failure if the disk refuses. */
export async function publishCountingPrior(counted: CountedPrior, options: PublishCountingOptions): Promise<void> {
  const { bitsPerToken, counting } = counted;
  const { fingerprint, ...shape } = counted.spec;
  const config = JSON.parse(JSON.stringify(priorManifestConfig(shape, {}))) as Record<string, never>;
  await publishArtifact({
    directory: options.directory,
    kind: "prior",
    config,
    fingerprint,
    provenance: createProvenance({ ...options.provenance, metrics: { bitsPerToken } }),
    overwrite: options.overwrite ?? false,
    files: {
      [COUNTS_FILE]: encodeCounts(counting.counts()),
      "config.json": `${JSON.stringify(config, null, 2)}\n`,
      "README.md": modelCard(counted),
    },
  });
}

/** @throws bad-input if there are no such counts; mismatch if the file was changed */
export async function openCounted(artifact: Artifact, spec: CountedSpec): Promise<Networks> {
  const bytes = await artifact.read(COUNTS_FILE);
  const where = artifact.path(COUNTS_FILE);
  const counts = decodeCounts(bytes, where);
  return countedNetworks(COUNTING_PRIORS[spec.objective].restore(counts, spec.codebookSize, where), spec);
}

/** Counts as what priors decode with: nothing to dispose of. */
export const countedNetworks = (counting: CountingPrior, { codebookSize, grid }: CountedSpec): Networks => ({
  create: ({ length: count }) => createCountingNetwork(counting, { codebookSize, grid, count }),
  bitsPerToken: async (data, { signal, onProgress } = {}) => {
    signal?.throwIfAborted();
    checkImages(data, { grid });
    const bits = counting.bitsPerToken(data.tokens);
    onProgress?.(1);
    return Promise.resolve(bits);
  },
  dispose: () => Promise.resolve(),
});

/** How many things a prior keeps a count of. */
export const countedThings = (counting: CountingPrior): number => counting.counts()["count"]?.length ?? 0;

function encodeCounts(counts: Counts): Uint8Array {
  const tensors = Object.entries(counts).map(([name, data]): [string, SafeTensor] => [
    name,
    { dtype: "I32", shape: [data.length], data },
  ]);
  return encodeSafetensors(Object.fromEntries(tensors));
}

/** @throws bad-input unless every tensor is an int32 vector */
function decodeCounts(bytes: Uint8Array, where: string): Counts {
  const { tensors } = decodeSafetensors(bytes, where);
  const arrays = Object.entries(tensors).map(([name, { dtype, shape, data }]): [string, Int32Array] => {
    if (dtype === "I32" && shape.length === 1) return [name, data];
    const got = `${dtype} [${shape.join(", ")}]`;
    throw badInput({ what: "holds no counts", where: `${where}: tensor "${name}"`, expected: "I32 [n]", got });
  });
  return Object.fromEntries(arrays);
}

function modelCard({ spec, counting, bitsPerToken }: CountedPrior): string {
  const { objective, grid, codebookSize, fingerprint } = spec;
  return `# Tessera prior (${objective})

${COUNTING_PRIORS[objective].description} (${countedThings(counting).toLocaleString("en-US")} counts), over ${grid.join("×")} tokens of ${codebookSize} codes.

- \`${COUNTS_FILE}\`: the counts of "${objective}" of the prior contract
- \`manifest.json\`: digests, configuration, provenance
- counted the tokens of tokenizer \`${fingerprint}\`; another tokenizer's are refused

held-out bits/token: ${bitsPerToken.toFixed(3)} (${MEASURE_REMARKS[MEASURES[objective]]}).
`;
}
