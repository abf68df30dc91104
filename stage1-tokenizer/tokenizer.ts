/**
 * A published tokenizer, ready to use: images to tokens and back. Runs the artefact's graphs; loads no TensorFlow.js and knows nothing
 * of training.
 */
import { openArtifact, type Artifact } from "../shared/artifact.ts";
import { badInput, invariant, mismatch } from "../shared/errors.ts";
import { fingerprintTokenizer } from "../shared/fingerprint.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import { createSession, type OnnxSession, type SessionOptions, type TensorData } from "../shared/onnx/session.ts";
import { checkTokens, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import { gridOf, parseTokenizerConfig } from "./config.ts";
import { parsePreprocessing, type Preprocessing } from "./images/index.ts";

export interface Tokenizer {
  readonly directory: string;
  readonly spec: TokenizerSpec;
  /** How images must be prepared before `encode`. */
  readonly preprocessing: Preprocessing;
  /**
   * @param images uint8 [N, H, W, 3], sRGB, `spec.imageSize`
   * @throws bad-input if the array does not hold whole images
   */
  encode(images: Uint8Array): Promise<TokenGrid>;
  /**
   * @returns uint8 [N, H, W, 3]
   * @throws bad-input for an id ≥ K, an unknown token, or a grid of another size
   */
  decode(grid: TokenGrid): Promise<Uint8Array>;
  dispose(): Promise<void>;
}

/** Images a run of the graphs takes at most: bounds the memory of a large call. */
const LARGEST_BATCH = 32;

/**
 * @throws bad-input if the folder is no artefact; mismatch if it is no tokenizer, a file was changed, or the fingerprint is not that of
 *   its encoder
 */
export async function loadTokenizer(directory: string, options: SessionOptions = {}): Promise<Tokenizer> {
  const artifact = await openArtifact(directory, { kind: "tokenizer" });
  const { manifest } = artifact;
  const config = parseTokenizerConfig(manifest.config, `${directory}: config`);
  const preprocessing = parsePreprocessing(manifest.preprocessing, `${directory}: preprocessing`);
  const encoderBytes = await artifact.read("encoder.onnx");
  const fingerprint = fingerprintTokenizer(encoderBytes, preprocessing);
  if (fingerprint !== manifest.fingerprint) {
    throw mismatch({
      what: "the manifest's fingerprint is not that of the encoder beside it",
      where: directory,
      expected: fingerprint,
      got: manifest.fingerprint ?? "none",
      todo: "Restore the artefact from a copy or make it again.",
    });
  }
  const spec: TokenizerSpec = {
    fingerprint,
    codebookSize: config.codebookSize,
    grid: gridOf(config),
    imageSize: [config.imageSize, config.imageSize],
  };
  // Read by us first: the runtime would follow references to other files.
  decodeModel(encoderBytes, artifact.path("encoder.onnx"));
  const encoder = await createSession(encoderBytes, options);
  return createTokenizer({ directory, spec, preprocessing, encoder, decoder: lazyDecoder(artifact, options) });
}

/** Tokenizing needs no decoder: it is loaded by the first `decode`. */
function lazyDecoder(
  artifact: Artifact,
  options: SessionOptions,
): { get(): Promise<OnnxSession>; loaded(): Promise<OnnxSession> | undefined } {
  let session: Promise<OnnxSession> | undefined;
  return {
    get: () =>
      (session ??= artifact.read("decoder.onnx").then((bytes) => {
        decodeModel(bytes, artifact.path("decoder.onnx"));
        return createSession(bytes, options);
      })),
    loaded: () => session,
  };
}

interface Parts {
  readonly directory: string;
  readonly spec: TokenizerSpec;
  readonly preprocessing: Preprocessing;
  readonly encoder: OnnxSession;
  readonly decoder: ReturnType<typeof lazyDecoder>;
}

function createTokenizer({ directory, spec, preprocessing, encoder, decoder }: Parts): Tokenizer {
  const [height, width] = spec.grid;
  const [imageHeight, imageWidth] = spec.imageSize;
  const imageLength = imageHeight * imageWidth * 3;
  const gridLength = height * width;
  return {
    directory,
    spec,
    preprocessing,
    async encode(images) {
      const count = images.length / imageLength;
      if (!Number.isInteger(count)) {
        const expected = `a multiple of ${imageHeight}×${imageWidth}×3 = ${imageLength} values`;
        throw badInput({
          what: "pixels do not fill whole images",
          where: "Tokenizer.encode",
          expected,
          got: String(images.length),
        });
      }
      const tokens = new Int32Array(count * gridLength);
      for (const [start, size] of chunks(count)) {
        const data = images.subarray(start * imageLength, (start + size) * imageLength);
        const feed = { type: "uint8", shape: [size, imageHeight, imageWidth, 3], data } as const;
        const chunk = expectData((await encoder.run({ image: feed }))["tokens"]?.data, BigInt64Array);
        tokens.set(Int32Array.from(chunk, Number), start * gridLength);
      }
      return { tokens, shape: [count, height, width] };
    },
    async decode(grid) {
      const [count, gridHeight, gridWidth] = grid.shape;
      if (gridHeight !== height || gridWidth !== width) {
        const expected = `${height}×${width} tokens an image`;
        throw badInput({
          what: "grid is of another size",
          where: "Tokenizer.decode",
          expected,
          got: `${gridHeight}×${gridWidth}`,
        });
      }
      checkTokens(grid, spec.codebookSize, { where: "Tokenizer.decode" });
      const session = await decoder.get();
      const images = new Uint8Array(count * imageLength);
      for (const [start, size] of chunks(count)) {
        const data = BigInt64Array.from(grid.tokens.subarray(start * gridLength, (start + size) * gridLength), BigInt);
        const outputs = await session.run({ tokens: { type: "int64", shape: [size, height, width], data } });
        images.set(expectData(outputs["image"]?.data, Uint8Array), start * imageLength);
      }
      return images;
    },
    async dispose() {
      await encoder.dispose();
      await (await decoder.loaded())?.dispose();
    },
  };
}

/** [start, size] of the pieces that a call over `count` images is cut into. */
function* chunks(count: number): Generator<[start: number, size: number]> {
  for (let start = 0; start < count; start += LARGEST_BATCH) yield [start, Math.min(LARGEST_BATCH, count - start)];
}

function expectData<T extends TensorData>(data: TensorData | undefined, type: new (length: number) => T): T {
  invariant(
    data instanceof type,
    `a tokenizer graph must return ${type.name}, got ${data?.constructor.name ?? "nothing"}`,
  );
  return data;
}
