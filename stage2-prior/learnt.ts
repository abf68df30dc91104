/** A published network: its graph, checked and loaded, as what priors decode with. Loads no TensorFlow.js. */
import type { Artifact } from "../shared/artifact.ts";
import { mismatch } from "../shared/errors.ts";
import type { OnnxModel } from "../shared/onnx/model.ts";
import type { Dtype } from "../shared/onnx/quantize/dtype.ts";
import { checkProducts, quantizeProducts } from "../shared/onnx/quantize/products.ts";
import { checkSaturation, saturatesPairs } from "../shared/onnx/quantize/saturation.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import { createSession, type OnnxSession, type SessionOptions } from "../shared/onnx/session.ts";
import { encodeModel } from "../shared/onnx/write.ts";
import { sizeOf } from "../shared/records.ts";
import type { Networks } from "./decoding.ts";
import { measureBitsPerToken } from "./held-out.ts";
import { createCausalNetwork, createFullPass, createMaskedNetwork, createRasterNetwork } from "./networks.ts";
import type { Network } from "./sample/guidance.ts";
import { GRAPH_FILE, PAST_LENGTH, pastNames, type LearntObjective, type PriorSpec } from "./signature.ts";

export interface LearntSpec extends PriorSpec {
  readonly objective: LearntObjective;
}

export interface LearntOptions extends SessionOptions {
  /** Arithmetic of the graph's products; default float32, as published. */
  readonly dtype?: Dtype;
}

interface NetworkOptions {
  readonly codebookSize: number;
  /** L */
  readonly length: number;
  /** [N] */
  readonly classIds: Int32Array;
}

/** The way from each objective's graph to its network. */
const NETWORKS: Readonly<Record<LearntObjective, (session: OnnxSession, options: NetworkOptions) => Network>> = {
  causal: createCausalNetwork,
  pixelcnn: createRasterNetwork,
  masked: createMaskedNetwork,
  diffusion: createMaskedNetwork,
};

/**
 * @throws bad-input if there is no such graph; mismatch if it was changed, its K is not the manifest's, its cache is laid out otherwise, or this
 * processor gets its int8 products wrong; usage if it is to compute in int8 and cannot (`checkProducts`)
 */
export async function openLearnt(artifact: Artifact, spec: LearntSpec, options: LearntOptions): Promise<Networks> {
  const { dtype = "float32", ...threads } = options;
  const { objective, codebookSize, grid } = spec;
  const session = await createSession(await readGraph(artifact, dtype), threads);
  try {
    checkGraph(session, spec, artifact.path(GRAPH_FILE));
    checkCache(session, artifact.path(GRAPH_FILE));
  } catch (error) {
    await session.dispose();
    throw error;
  }
  const length = sizeOf(grid);
  const fullPass = createFullPass(session, { codebookSize, length });
  return {
    create: (classIds) => NETWORKS[objective](session, { codebookSize, length, classIds }),
    bitsPerToken: (data, measuring) =>
      measureBitsPerToken(fullPass, data, { ...spec, classes: spec.classes.length }, measuring),
    dispose: () => session.dispose(),
  };
}

/**
 * Whether a learnt prior can be computed in this arithmetic, on this processor; loads nothing.
 * @throws usage or mismatch if not; as `Artifact.read` and `decodeModel`
 */
export async function checkComputable(artifact: Artifact, dtype: Dtype): Promise<void> {
  await readModel(artifact, dtype);
}

/** The graph in this arithmetic, for the runtime. */
async function readGraph(artifact: Artifact, dtype: Dtype): Promise<Uint8Array> {
  const { bytes, model } = await readModel(artifact, dtype);
  if (dtype === "float32") return bytes;
  return encodeModel(quantizeProducts(model, { unsignedWeights: await saturatesPairs() }));
}

async function readModel(artifact: Artifact, dtype: Dtype): Promise<{ bytes: Uint8Array; model: OnnxModel }> {
  const where = artifact.path(GRAPH_FILE);
  const bytes = await artifact.read(GRAPH_FILE);
  // Anybody's graph may lie here: read by us first, which refuses references to other files, before the runtime follows any.
  const model = decodeModel(bytes, where);
  await checkSaturation(model, where);
  if (dtype === "int8") checkProducts(model, where);
  return { bytes, model };
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

/** A graph that is not told how many rows of its cache count would be fed rows that hold nothing. */
function checkCache({ inputs }: OnnxSession, where: string): void {
  const keys = inputs.find(({ name }) => name === pastNames(0).keys);
  if (keys === undefined || inputs.some(({ name }) => name === PAST_LENGTH)) return;
  throw mismatch({
    what: "the graph's key–value cache is laid out otherwise",
    where,
    expected: `an input ${PAST_LENGTH}, and ${pastNames(0).keys} [N, H, R, Dh]`,
    got: `${keys.name} [${keys.shape.join(", ")}] alone`,
    todo: "Publish it again: its training command with --resume --overwrite takes what the last checkpoint holds.",
  });
}
