/**
 * A published prior, ready to sample. Runs the artefact's graph; loads no TensorFlow.js and knows nothing of training nor of images.
 */
import { openArtifact } from "../shared/artifact.ts";
import { mismatch } from "../shared/errors.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import type { OnnxSession, SessionOptions } from "../shared/onnx/session.ts";
import type { Rng } from "../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../shared/tokens.ts";
import { createDecoder, type DecodingOptions } from "./decoding.ts";
import { measureBitsPerToken, type HeldOutTokens, type MeasureOptions } from "./held-out.ts";
import { parsePriorManifest } from "./manifest.ts";
import { createFullPass, openSessions, type CausalSessions } from "./networks.ts";
import { checkInteger, checkKnown, type SampleSteps } from "./sample/sampler.ts";
import { GRAPH_FILE, type PriorSpec } from "./signature.ts";

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
   * Bits a token of these images; `MEASURES[spec.objective]` says what kind of figure. The same draws as when training measures, whatever the batch.
   * @throws bad-input if there is no image or a token or label is none of the prior's; mismatch for another grid; numerical if a logit is not finite
   */
  bitsPerToken(data: HeldOutTokens, options?: MeasureOptions): Promise<number>;
  dispose(): Promise<void>;
}

/** Images `sample` draws side by side unless told otherwise. */
export const SAMPLE_BATCH = 16;

/** @throws bad-input if the folder is no artefact; mismatch if it is no prior, a file was changed, or the graph's K is not the manifest's. */
export async function loadPrior(directory: string, options: SessionOptions = {}): Promise<Prior> {
  const artifact = await openArtifact(directory, { kind: "prior" });
  const spec = parsePriorManifest(artifact.manifest, directory);
  const graph = await artifact.read(GRAPH_FILE);
  // Anybody's graph may lie here: read by us first, which refuses references to other files, before the runtime follows any.
  decodeModel(graph, artifact.path(GRAPH_FILE));
  const sessions = await openSessions(graph, spec.objective, options);
  checkGraph(sessions.growing, spec, directory);
  const length = spec.grid[0] * spec.grid[1];
  const fullPass = createFullPass(sessions, { codebookSize: spec.codebookSize, length });
  return {
    directory,
    name: artifact.manifest.name,
    spec,
    sample: (request) => sampleInBatches(sessions, spec, request),
    steps: (request) => stepsOfBatch(sessions, spec, request),
    bitsPerToken: (data, measuring) =>
      measureBitsPerToken(fullPass, data, { ...spec, classes: spec.classes.length }, measuring),
    dispose: () => sessions.dispose(),
  };
}

/** The manifest and the graph must agree on K: a sampler that trusts the wrong one would sample ids that do not exist. */
function checkGraph(session: OnnxSession, spec: PriorSpec, directory: string): void {
  const logits = session.outputs.find(({ name }) => name === "logits");
  const got = logits?.shape.at(-1);
  if (logits?.type === "float32" && got === spec.codebookSize) return;
  throw mismatch({
    what: "the graph's logits are not over the codebook of its manifest",
    where: `${directory}/${GRAPH_FILE}`,
    expected: `logits float32 […, ${spec.codebookSize}]`,
    got: logits === undefined ? "no output called logits" : `${logits.type} [${logits.shape.join(", ")}]`,
    todo: "Export the prior again with the K of its tokenizer.",
  });
}

async function sampleInBatches(sessions: CausalSessions, spec: PriorSpec, request: SampleRequest): Promise<TokenGrid> {
  const { count, rng, firstIndex = 0, known, batchSize = SAMPLE_BATCH, onProgress, signal } = request;
  const shape = checkShape(request, spec);
  checkInteger("batchSize", batchSize, 1);
  const decode = createDecoder(sessions, spec, request);
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

async function* stepsOfBatch(sessions: CausalSessions, spec: PriorSpec, request: StepsRequest): SampleSteps {
  const { count, rng, firstIndex = 0, known, signal } = request;
  checkShape(request, spec);
  return yield* createDecoder(sessions, spec, request)({ count, firstIndex, rng, known, signal });
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
