/**
 * A prior, ready to sample and to measure: a published one, or one that was counted just now. Loads no TensorFlow.js and knows nothing of training nor of
 * images; what an artefact holds, a graph or counts, is the business of learnt.ts and counted.ts.
 */
import { openArtifact } from "../shared/artifact.ts";
import { usageError } from "../shared/errors.ts";
import type { Rng } from "../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../shared/tokens.ts";
import { countedNetworks, openCounted, type CountedPrior } from "./counted.ts";
import { createDecoder, type DecodingOptions, type Networks } from "./decoding.ts";
import type { HeldOutTokens, MeasureOptions } from "./held-out.ts";
import { openLearnt, type LearntOptions } from "./learnt.ts";
import { parsePriorManifest } from "./manifest.ts";
import { checkInteger, checkKnown, type SampleSteps } from "./sample/sampler.ts";
import { isCounting, type PriorSpec } from "./signature.ts";

/** Images to be sampled side by side. */
export interface StepsRequest extends DecodingOptions {
  readonly count: number;
  /** Image i depends on (rng, i) alone, not on the batch it is sampled in. */
  readonly rng: Rng;
  /** Number of the first image (0). */
  readonly firstIndex?: number | undefined;
  /** [count, h, w], `UNKNOWN` where to fill; every other token is kept. Nothing known if left out. */
  readonly known?: TokenGrid | undefined;
  readonly signal?: AbortSignal;
}

export interface SampleRequest extends StepsRequest {
  /** Images sampled side by side, default `SAMPLE_BATCH`: bounds memory. */
  readonly batchSize?: number | undefined;
  /** Called with the number of tokens fixed since the last call, known ones at once. */
  readonly onProgress?: ((newTokens: number) => void) | undefined;
}

export interface Prior {
  /** "in memory" if it was never published. */
  readonly directory: string;
  readonly name: string;
  readonly spec: PriorSpec;
  /** @throws usage for a class that does not exist or options that do not fit; numerical if the graph returns NaN. */
  sample(request: SampleRequest): Promise<TokenGrid>;
  /**
   * The same images in one batch, step by step; may be left after any of them.
   * @throws on the first step, as `sample` does
   */
  steps(request: StepsRequest): SampleSteps;
  /**
   * Bits a token of these images; `MEASURES[spec.objective]` says what kind of figure. Drawn as when training measures, whatever the batch.
   * @throws bad-input if there is no image or a token or label is none of the prior's; mismatch for another grid; numerical if a logit is not finite
   */
  bitsPerToken(data: HeldOutTokens, options?: MeasureOptions): Promise<number>;
  dispose(): Promise<void>;
}

/** Images `sample` draws side by side unless told otherwise. */
export const SAMPLE_BATCH = 16;

/**
 * @throws bad-input if the folder is no artefact, or holds no such graph or counts; mismatch if it is no prior, a file was changed, or the
 * graph's K is not the manifest's; usage if it is to compute in int8 and has no product for it
 */
export async function loadPrior(directory: string, options: LearntOptions = {}): Promise<Prior> {
  const artifact = await openArtifact(directory, { kind: "prior" });
  const spec = parsePriorManifest(artifact.manifest, directory);
  const { objective } = spec;
  if (isCounting(objective) && options.dtype === "int8") throw countsOnly(directory);
  const networks = isCounting(objective)
    ? await openCounted(artifact, { ...spec, objective })
    : await openLearnt(artifact, { ...spec, objective }, options);
  return createPrior({ directory, name: artifact.manifest.name, spec }, networks);
}

const countsOnly = (where: string) =>
  usageError({ what: "a counting prior has no products to compute in int8", where, todo: "Use float32." });

/** What was counted, as a prior that was never published. */
export const createCountedPrior = ({ spec, counting }: CountedPrior): Prior =>
  createPrior({ directory: "in memory", name: counting.name, spec }, countedNetworks(counting, spec));

const createPrior = (identity: Pick<Prior, "directory" | "name" | "spec">, networks: Networks): Prior => ({
  ...identity,
  sample: (request) => sampleInBatches(networks, identity.spec, request),
  steps: (request) => stepsOfBatch(networks, identity.spec, request),
  bitsPerToken: (data, options) => networks.bitsPerToken(data, options),
  dispose: () => networks.dispose(),
});

async function sampleInBatches(networks: Networks, spec: PriorSpec, request: SampleRequest): Promise<TokenGrid> {
  const { count, rng, firstIndex = 0, known, batchSize = SAMPLE_BATCH, onProgress, signal } = request;
  const shape = checkShape(request, spec);
  checkInteger("batchSize", batchSize, 1);
  const decode = createDecoder(networks, spec, request);
  const length = shape[1] * shape[2];
  const tokens = new Int32Array(count * length); // [count, L]
  for (let first = 0; first < count; first += batchSize) {
    const size = Math.min(batchSize, count - first);
    const own = known?.tokens.subarray(first * length, (first + size) * length);
    const steps = decode({
      count: size,
      firstIndex: firstIndex + first,
      rng,
      known: own && { tokens: own, shape: [size, shape[1], shape[2]] },
      signal,
    });
    tokens.set((await drainReporting(steps, onProgress)).tokens, first * length);
  }
  return { tokens, shape };
}

async function* stepsOfBatch(networks: Networks, spec: PriorSpec, request: StepsRequest): SampleSteps {
  const { count, rng, firstIndex = 0, known, signal } = request;
  checkShape(request, spec);
  return yield* createDecoder(networks, spec, request)({ count, firstIndex, rng, known, signal });
}

/** Runs a sampler to its end and reports how many tokens each step fixed. */
async function drainReporting(steps: SampleSteps, onProgress: SampleRequest["onProgress"]): Promise<TokenGrid> {
  let reported = 0;
  for (;;) {
    const { done, value } = await steps.next();
    const { tokens } = done === true ? value : value.grid;
    const fixed = onProgress === undefined ? 0 : tokens.filter((token) => token !== UNKNOWN).length;
    onProgress?.(fixed - reported);
    reported = fixed;
    if (done === true) return value;
  }
}

/** @returns [count, h, w] */
function checkShape({ count, known }: StepsRequest, { grid, codebookSize }: PriorSpec): TokenGrid["shape"] {
  checkInteger("count", count, 1);
  const shape = [count, ...grid] as const;
  if (known !== undefined) checkKnown(known, shape, codebookSize);
  return shape;
}
