/**
 * A prior, ready to sample and to measure: a published one, or one that was counted just now. Loads no TensorFlow.js and knows nothing of training nor of
 * images; what an artefact holds, a graph or counts, is the business of learnt.ts and counted.ts.
 */
import { openArtifact } from "../shared/artifact.ts";
import { usageError } from "../shared/errors.ts";
import { inOrder } from "../shared/in-order.ts";
import type { Dtype } from "../shared/onnx/quantize/dtype.ts";
import type { Rng } from "../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../shared/tokens.ts";
import { countedNetworks, openCounted, type CountedPrior } from "./counted.ts";
import { createDecoder, type DecodingOptions, type Networks } from "./decoding.ts";
import type { HeldOutTokens, MeasureOptions } from "./held-out.ts";
import { openLearnt, type LearntOptions } from "./learnt.ts";
import { parsePriorManifest } from "./manifest.ts";
import { type DrawBatch, type Drawing, type SampleProcesses, startSampleProcesses } from "./sample-processes.ts";
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
  /** Called after every step of a batch with the tokens it fixed, known ones at once, and how many images were in it. */
  readonly onProgress?: ((newTokens: number, images: number) => void) | undefined;
}

export interface Prior {
  /** "in memory" if it was never published. */
  readonly directory: string;
  readonly name: string;
  readonly spec: PriorSpec;
  /** What its graph's products compute in; of a counting prior nothing. */
  readonly dtype: Dtype | undefined;
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

export interface LoadPriorOptions extends LearntOptions {
  /** Processes that sample, which share the threads (1: this one alone). A counting prior has no use for them. */
  readonly processes?: number | undefined;
  /** What such a process runs, if not the script of this program. */
  readonly script?: URL | undefined;
}

/**
 * @throws bad-input if the folder is no artefact, or holds no such graph or counts; mismatch if it is no prior, a file was changed, or the
 * graph's K is not the manifest's; usage if it is to compute in int8 and has no product for it
 */
export async function loadPrior(directory: string, options: LoadPriorOptions = {}): Promise<Prior> {
  const { processes = 1, script, ...loading } = options;
  const artifact = await openArtifact(directory, { kind: "prior" });
  const spec = parsePriorManifest(artifact.manifest, directory);
  const { objective } = spec;
  const { dtype = "float32" } = loading;
  const identity = { directory, name: artifact.manifest.name, spec };
  if (isCounting(objective)) {
    if (dtype === "int8") throw countsOnly(directory);
    return createPrior({ ...identity, dtype: undefined }, await openCounted(artifact, { ...spec, objective }));
  }
  const helpers = processes > 1 ? startSampleProcesses({ directory, loading, count: processes, script }) : undefined;
  try {
    const networks = await openLearnt(artifact, { ...spec, objective }, loading);
    await helpers?.ready();
    return createPrior({ ...identity, dtype }, networks, helpers);
  } catch (error) {
    await helpers?.dispose();
    throw error;
  }
}

const countsOnly = (where: string) =>
  usageError({ what: "a counting prior has no products to compute in int8", where, todo: "Use float32." });

/** What was counted, as a prior that was never published. */
export const createCountedPrior = ({ spec, counting }: CountedPrior): Prior =>
  createPrior({ directory: "in memory", name: counting.name, spec, dtype: undefined }, countedNetworks(counting, spec));

/** @param helpers draw what `sample` is asked for, where there are any */
function createPrior(
  identity: Pick<Prior, "directory" | "name" | "spec" | "dtype">,
  networks: Networks,
  helpers?: SampleProcesses,
): Prior {
  const { spec } = identity;
  const draw: DrawBatch = (batch, asked, onProgress) =>
    drainReporting(createDecoder(networks, spec, asked)(batch), onProgress);
  const here: Drawing = { draw, end: async () => undefined };
  return {
    ...identity,
    sample: (request) =>
      sampleInBatches((signal) => helpers?.begin(signal) ?? here, spec, { ...request, atOnce: helpers?.count ?? 1 }),
    steps: (request) => stepsOfBatch(networks, spec, request),
    bitsPerToken: (data, options) => networks.bitsPerToken(data, options),
    async dispose() {
      await Promise.all([networks.dispose(), helpers?.dispose()]);
    },
  };
}

async function sampleInBatches(
  begin: (signal: AbortSignal | undefined) => Drawing,
  spec: PriorSpec,
  request: SampleRequest & { readonly atOnce: number },
): Promise<TokenGrid> {
  const { count, rng, firstIndex = 0, known, batchSize = SAMPLE_BATCH, onProgress, signal, atOnce, ...asked } = request;
  const shape = checkShape(request, spec);
  checkInteger("batchSize", batchSize, 1);
  const length = shape[1] * shape[2];
  const tokens = new Int32Array(count * length); // [count, L]
  const drawing = begin(signal);
  const drawRange = async ({ first, size }: Range) => {
    const own = known?.tokens.subarray(first * length, (first + size) * length);
    const batch = {
      count: size,
      firstIndex: firstIndex + first,
      rng,
      known: own && { tokens: own, shape: [size, shape[1], shape[2]] as const },
      signal,
    };
    const report = onProgress && ((newTokens: number): void => onProgress(newTokens, size));
    return { first, grid: await drawing.draw(batch, asked, report) };
  };
  const ranges = equalRanges(count, { batchSize, atOnce });
  try {
    for await (const { first, grid } of inOrder(ranges, atOnce, drawRange)) tokens.set(grid.tokens, first * length);
  } finally {
    await drawing.end();
  }
  return { tokens, shape };
}

/** Images `first` … `first + size − 1`. */
interface Range {
  readonly first: number;
  readonly size: number;
}

/** As few as fit, as many for each that draws, and as equal as may be. */
async function* equalRanges(
  count: number,
  { batchSize, atOnce }: { batchSize: number; atOnce: number },
): AsyncGenerator<Range> {
  const ranges = atOnce * Math.ceil(count / (batchSize * atOnce));
  const size = Math.ceil(count / ranges);
  for (let first = 0; first < count; first += size) yield { first, size: Math.min(size, count - first) };
}

async function* stepsOfBatch(networks: Networks, spec: PriorSpec, request: StepsRequest): SampleSteps {
  const { count, rng, firstIndex = 0, known, signal } = request;
  checkShape(request, spec);
  return yield* createDecoder(networks, spec, request)({ count, firstIndex, rng, known, signal });
}

/** Runs a sampler to its end and reports how many tokens each step fixed. */
async function drainReporting(
  steps: SampleSteps,
  onProgress: ((newTokens: number) => void) | undefined,
): Promise<TokenGrid> {
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
