/** A published network: its graph, checked and loaded, as what priors decode with. Loads no TensorFlow.js. */
import type { Artifact } from "../shared/artifact.ts";
import { mismatch } from "../shared/errors.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import type { OnnxSession, SessionOptions } from "../shared/onnx/session.ts";
import { sizeOf } from "../shared/records.ts";
import type { Networks } from "./decoding.ts";
import { measureBitsPerToken } from "./held-out.ts";
import {
  createCausalNetwork,
  createFullPass,
  createMaskedNetwork,
  createRasterNetwork,
  openSessions,
  type CausalSessions,
} from "./networks.ts";
import type { Network } from "./sample/guidance.ts";
import { GRAPH_FILE, type LearntObjective, type PriorSpec } from "./signature.ts";

export interface LearntSpec extends PriorSpec {
  readonly objective: LearntObjective;
}

interface NetworkOptions {
  readonly codebookSize: number;
  /** L */
  readonly length: number;
  /** [N] */
  readonly classIds: Int32Array;
}

/** The way from each objective's graph to its network. */
const NETWORKS: Readonly<Record<LearntObjective, (sessions: CausalSessions, options: NetworkOptions) => Network>> = {
  causal: createCausalNetwork,
  pixelcnn: ({ growing }, options) => createRasterNetwork(growing, options),
  masked: ({ growing }, options) => createMaskedNetwork(growing, options),
  diffusion: ({ growing }, options) => createMaskedNetwork(growing, options),
};

/** @throws bad-input if there is no such graph; mismatch if it was changed, or its K is not the manifest's */
export async function openLearnt(artifact: Artifact, spec: LearntSpec, options: SessionOptions): Promise<Networks> {
  const { objective, codebookSize, grid } = spec;
  const graph = await artifact.read(GRAPH_FILE);
  // Anybody's graph may lie here: read by us first, which refuses references to other files, before the runtime follows any.
  decodeModel(graph, artifact.path(GRAPH_FILE));
  const sessions = await openSessions(graph, objective, options);
  try {
    checkGraph(sessions.growing, spec, artifact.path(GRAPH_FILE));
  } catch (error) {
    await sessions.dispose();
    throw error;
  }
  const length = sizeOf(grid);
  const fullPass = createFullPass(sessions, { codebookSize, length });
  return {
    create: (classIds) => NETWORKS[objective](sessions, { codebookSize, length, classIds }),
    bitsPerToken: (data, measuring) =>
      measureBitsPerToken(fullPass, data, { ...spec, classes: spec.classes.length }, measuring),
    dispose: () => sessions.dispose(),
  };
}

/** The manifest and the graph must agree on K: a sampler that trusts the wrong one would sample ids that do not exist. */
function checkGraph(session: OnnxSession, spec: PriorSpec, where: string): void {
  const logits = session.outputs.find(({ name }) => name === "logits");
  const got = logits?.shape.at(-1);
  if (logits?.type === "float32" && got === spec.codebookSize) return;
  throw mismatch({
    what: "the graph's logits are not over the codebook of its manifest",
    where,
    expected: `logits float32 […, ${spec.codebookSize}]`,
    got: logits === undefined ? "no output called logits" : `${logits.type} [${logits.shape.join(", ")}]`,
    todo: "Export the prior again with the K of its tokenizer.",
  });
}
