/**
 * A published prior, ready to sample. Runs the artefact's graph; loads no TensorFlow.js and knows nothing of training nor of images.
 */
import { openArtifact } from "../shared/artifact.ts";
import { mismatch, usageError } from "../shared/errors.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import { createSession, type OnnxSession, type SessionOptions } from "../shared/onnx/session.ts";
import type { Rng } from "../shared/rng.ts";
import type { TokenGrid } from "../shared/tokens.ts";
import { parsePriorManifest } from "./manifest.ts";
import { maskSchedule } from "./mask-schedule.ts";
import { createCausalNetwork, createMaskedNetwork, createRasterNetwork, type CausalSessions } from "./networks.ts";
import { sampleCausal } from "./sample/causal.ts";
import { sampleMaskgit } from "./sample/maskgit.ts";
import { GRAPH_FILE, type PriorSpec } from "./signature.ts";

export interface SampleRequest {
  readonly count: number;
  /** Image i depends on (rng, i) alone, not on the batch it is sampled in. */
  readonly rng: Rng;
  readonly temperature?: number | undefined;
  /** Class of every image, by name; unconditional where absent. */
  readonly className?: string | undefined;
  /** Masked priors: decoding steps, default 12, or one a token where there are fewer. */
  readonly steps?: number | undefined;
  /** Masked priors: noise on the confidence, default 4.5. */
  readonly choiceTemperature?: number | undefined;
  /** Images sampled side by side, default 16: bounds memory. */
  readonly batchSize?: number | undefined;
  /** Called with the number of tokens fixed since the last call. */
  readonly onProgress?: ((newTokens: number) => void) | undefined;
  readonly signal?: AbortSignal;
}

export interface Prior {
  readonly directory: string;
  readonly name: string;
  readonly spec: PriorSpec;
  /** @throws usage for a class that does not exist or options that do not fit; numerical if the graph returns NaN. */
  sample(request: SampleRequest): Promise<TokenGrid>;
  dispose(): Promise<void>;
}

const DEFAULT_BATCH = 16;
const DEFAULT_STEPS = 12;

/** @throws bad-input if the folder is no artefact; mismatch if it is no prior, a file was changed, or the graph's K is not the manifest's. */
export async function loadPrior(directory: string, options: SessionOptions = {}): Promise<Prior> {
  const artifact = await openArtifact(directory, { kind: "prior" });
  const spec = parsePriorManifest(artifact.manifest, directory);
  const graph = await artifact.read(GRAPH_FILE);
  // Anybody's graph may lie here: read by us first, which refuses references to other files, before the runtime follows any.
  decodeModel(graph, artifact.path(GRAPH_FILE));
  const session = await createSession(graph, options);
  checkGraph(session, spec, directory);
  const empty =
    spec.objective === "causal" ? await createSession(graph, { ...options, optimization: "basic" }) : session;
  const sessions: CausalSessions = { growing: session, empty };
  return {
    directory,
    name: artifact.manifest.name,
    spec,
    sample: (request) => sampleInBatches(sessions, spec, request),
    dispose: async () => {
      await session.dispose();
      if (empty !== session) await empty.dispose();
    },
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
  const [height, width] = spec.grid;
  const { count, batchSize = DEFAULT_BATCH } = request;
  checkPositive("count", count);
  checkPositive("batchSize", batchSize);
  const tokens = new Int32Array(count * height * width);
  const classId = classIdOf(request.className, spec);
  for (let first = 0; first < count; first += batchSize) {
    const size = Math.min(batchSize, count - first);
    const part = await sampleBatch(sessions, spec, { ...request, classId, first, size });
    tokens.set(part.tokens, first * height * width);
  }
  return { tokens, shape: [count, height, width] };
}

interface BatchRequest extends SampleRequest {
  readonly classId: number;
  readonly first: number;
  readonly size: number;
}

function sampleBatch(sessions: CausalSessions, spec: PriorSpec, request: BatchRequest): Promise<TokenGrid> {
  const { codebookSize, grid } = spec;
  const {
    size,
    first,
    rng,
    temperature,
    onProgress,
    steps = Math.min(DEFAULT_STEPS, grid[0] * grid[1]),
    choiceTemperature,
  } = request;
  let fixed = 0;
  const common = {
    codebookSize,
    grid,
    count: size,
    firstIndex: first,
    rng,
    temperature,
    onStep: ({ step, steps: all }: { step: number; steps: number }) => {
      const now = Math.round((step / all) * size * grid[0] * grid[1]);
      onProgress?.(now - fixed);
      fixed = now;
    },
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  };
  const classIds = new Int32Array(size).fill(request.classId);
  switch (spec.objective) {
    case "causal":
      return sampleCausal({
        ...common,
        tokensToLogits: createCausalNetwork(sessions, { codebookSize, length: grid[0] * grid[1], classIds }),
      });
    case "pixelcnn":
      return sampleCausal({
        ...common,
        tokensToLogits: createRasterNetwork(sessions.growing, { codebookSize, length: grid[0] * grid[1], classIds }),
      });
    case "masked":
    case "diffusion":
      return sampleMaskgit({
        ...common,
        tokensToLogits: createMaskedNetwork(sessions.growing, { codebookSize, classIds }),
        steps,
        schedule: maskSchedule(spec.maskSchedule),
        ...(choiceTemperature === undefined ? {} : { choiceTemperature }),
      });
    default:
      return spec.objective satisfies never;
  }
}

/** @throws usage unless `value` is an integer ≥ 1 */
function checkPositive(where: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw usageError({ what: "not a number of images", where, expected: "an integer ≥ 1", got: String(value) });
}

/** The null class, which follows the named ones, where no name is given. */
function classIdOf(name: string | undefined, { classes }: PriorSpec): number {
  if (name === undefined) return classes.length;
  const id = classes.indexOf(name);
  if (id >= 0) return id;
  throw usageError({
    what: `there is no class "${name}"`,
    expected: classes.length === 0 ? "no class: the prior is unconditional" : classes.join(", "),
  });
}
