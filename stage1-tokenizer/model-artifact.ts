/**
 * What a published tokenizer and a published autoencoder have in common: opening the artefact, checking that graphs and manifest agree, running
 * graphs in pieces. Loads no TensorFlow.js; knows neither tokens nor latents.
 */
import { openArtifact, type Artifact } from "../shared/artifact.ts";
import { badInput, invariant, mismatch } from "../shared/errors.ts";
import { fingerprintTokenizer } from "../shared/fingerprint.ts";
import type { OnnxModel } from "../shared/onnx/model.ts";
import { quantizeConvolutions } from "../shared/onnx/quantize/convolutions.ts";
import type { Dtype } from "../shared/onnx/quantize/dtype.ts";
import { checkSaturation, saturatesPairs } from "../shared/onnx/quantize/saturation.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import { createSession, type OnnxSession, type SessionOptions, type TensorData } from "../shared/onnx/session.ts";
import { encodeModel } from "../shared/onnx/write.ts";
import { makesTokens, parseTokenizerConfig, type TokenizerConfig } from "./config.ts";
import { parsePreprocessing, type Preprocessing } from "./images/index.ts";
import { decodeRanges, RANGES_FILE, type TokenizerRanges } from "./ranges.ts";

export const RESTORE = "Restore the artefact from a copy or make it again.";

/** Sizes of named inputs and outputs, without the batch. */
export type Sizes = Readonly<Record<string, readonly number[]>>;

export interface ModelOptions extends SessionOptions {
  /** What the graphs' convolutions compute in; default "float32". */
  readonly dtype?: Dtype;
}

export interface ModelArtifact {
  readonly config: TokenizerConfig;
  readonly preprocessing: Preprocessing;
  readonly fingerprint: string;
  /** @throws mismatch if the graph's sizes are others, or this processor gets its int8 products wrong */
  encoder(sizes: Sizes): Promise<OnnxSession>;
  /** Loaded when it is first wanted: not everybody decodes. @param check throws what else is wrong with the graph */
  decoder(sizes: Sizes, check?: (graph: OnnxModel, where: string) => void): LazySession;
}

export interface LazySession {
  get(): Promise<OnnxSession>;
  /** Of a session that was loaded; nothing to do for another. */
  dispose(): Promise<void>;
}

/** @throws bad-input if the folder is no artefact; mismatch if it is of another kind, was changed, or its fingerprint is not its encoder's */
export async function openModel(
  directory: string,
  kind: "tokenizer" | "autoencoder",
  { dtype = "float32", ...options }: ModelOptions,
): Promise<ModelArtifact> {
  const artifact = await openModelArtifact(directory, kind);
  const { manifest } = artifact;
  const preprocessing = parsePreprocessing(manifest.preprocessing, `${directory}: preprocessing`);
  const encoderBytes = await artifact.read("encoder.onnx");
  const fingerprint = fingerprintTokenizer(encoderBytes, preprocessing);
  if (fingerprint !== manifest.fingerprint) {
    throw mismatch({
      what: "the manifest's fingerprint is not that of the encoder beside it",
      where: directory,
      expected: fingerprint,
      got: manifest.fingerprint ?? "none",
      todo: RESTORE,
    });
  }
  const config = parseTokenizerConfig(manifest.config, { where: `${directory}: config`, code: "bad-input" });
  if (makesTokens(config) !== (kind === "tokenizer")) {
    throw mismatch({
      what: `the bottleneck in the manifest is none of ${kind === "tokenizer" ? "a tokenizer" : "an autoencoder"}`,
      where: directory,
      got: config.bottleneck,
      todo: RESTORE,
    });
  }
  const inDtype = await arithmeticOf(dtype, artifact);
  return {
    config,
    preprocessing,
    fingerprint,
    async encoder(sizes) {
      const where = artifact.path("encoder.onnx");
      const graph = decodeModel(encoderBytes, where);
      checkSizes(graph, sizes, where);
      await checkSaturation(graph, where);
      return createSession(inDtype("encoder", graph, encoderBytes), options);
    },
    decoder: (sizes, check) => lazySession(() => openDecoder(artifact, { sizes, check, options, inDtype })),
  };
}

/** What the runtime is given in the place of a graph: its own bytes, or another graph's. */
type InDtype = (side: "encoder" | "decoder", graph: OnnxModel, bytes: Uint8Array) => Uint8Array;

async function arithmeticOf(dtype: Dtype, artifact: Artifact): Promise<InDtype> {
  if (dtype === "float32") return (_side, _graph, bytes) => bytes;
  const ranges = await readRanges(artifact);
  const unsignedWeights = await saturatesPairs();
  return (side, graph) =>
    encodeModel(quantizeConvolutions(graph, ranges[side], { unsignedWeights, where: artifact.path(RANGES_FILE) }));
}

async function readRanges(artifact: Artifact): Promise<TokenizerRanges> {
  if (Object.hasOwn(artifact.manifest.files, RANGES_FILE)) {
    return decodeRanges(await artifact.read(RANGES_FILE), artifact.path(RANGES_FILE));
  }
  throw mismatch({
    what: `has no ${RANGES_FILE}, without which it cannot compute in int8: it was made by an older version or another program`,
    where: artifact.directory,
    todo: "Use --dtype float32, or train and publish it again",
  });
}

/** Each kind is told from the other in words of what it lacks. */
async function openModelArtifact(directory: string, kind: "tokenizer" | "autoencoder"): Promise<Artifact> {
  const artifact = await openArtifact(directory);
  const got = artifact.manifest.kind;
  if (kind === "tokenizer" && got === "autoencoder") {
    throw mismatch({
      what: "has continuous latents and makes no tokens",
      where: directory,
      expected: "a tokenizer",
      got: "an autoencoder",
      todo: "Train one with a bottleneck that chooses codes: vq, vq-ema, fsq, st-softmax, gumbel or reinforce",
    });
  }
  return got === kind ? artifact : openArtifact(directory, { kind });
}

/** What graph and manifest both state must agree: callers trust the manifest and would misread what the graph returns. */
function checkSizes({ inputs, outputs }: OnnxModel, wanted: Sizes, where: string): void {
  for (const [name, sizes] of Object.entries(wanted)) {
    const shape = [...inputs, ...outputs].find((value) => value.name === name)?.shape;
    if (shape?.slice(1).join() === sizes.join()) continue;
    throw mismatch({
      what: `the graph's ${name} are not of the size in the manifest`,
      where,
      expected: `[N, ${sizes.join(", ")}]`,
      got: shape === undefined ? `neither input nor output called ${name}` : `[${shape.join(", ")}]`,
      todo: RESTORE,
    });
  }
}

async function openDecoder(
  artifact: Artifact,
  wanted: {
    sizes: Sizes;
    check: ((graph: OnnxModel, where: string) => void) | undefined;
    options: SessionOptions;
    inDtype: InDtype;
  },
): Promise<OnnxSession> {
  const where = artifact.path("decoder.onnx");
  const bytes = await artifact.read("decoder.onnx");
  const graph = decodeModel(bytes, where); // read by us first: the runtime would follow references to other files
  checkSizes(graph, wanted.sizes, where);
  await checkSaturation(graph, where);
  wanted.check?.(graph, where);
  return createSession(wanted.inDtype("decoder", graph, bytes), wanted.options);
}

function lazySession(open: () => Promise<OnnxSession>): LazySession {
  let session: Promise<OnnxSession> | undefined;
  return {
    get: () => (session ??= open()),
    dispose: async () => {
      await (await session?.catch(() => undefined))?.dispose();
    },
  };
}

/** Number of whole images in [N, H, W, 3] bytes. @throws bad-input if they do not fill whole ones */
export function countImages(images: Uint8Array, [height, width]: readonly [number, number], where: string): number {
  const count = images.length / (height * width * 3);
  if (Number.isInteger(count)) return count;
  const expected = `a multiple of ${height}×${width}×3 = ${height * width * 3} values`;
  throw badInput({ what: "pixels do not fill whole images", where, expected, got: String(images.length) });
}

/** Images a run of the graphs takes at most: so few stay in the processor's cache; 16 at once took 4 % longer, in int8 12 % (128 px, h = 128). */
const LARGEST_BATCH = 4;

/** [start, size] of the pieces that a call over `count` images is cut into. */
export function* chunks(count: number): Generator<[start: number, size: number]> {
  for (let start = 0; start < count; start += LARGEST_BATCH) yield [start, Math.min(LARGEST_BATCH, count - start)];
}

export function expectData<T extends TensorData>(data: TensorData | undefined, type: new (length: number) => T): T {
  invariant(
    data instanceof type,
    `a model's graph must return ${type.name}, got ${data?.constructor.name ?? "nothing"}`,
  );
  return data;
}
