/**
 * A published tokenizer, ready to use: images to tokens and back. Runs the artefact's graphs; loads no TensorFlow.js and knows nothing
 * of training.
 */
import { openArtifact, type Artifact } from "../shared/artifact.ts";
import { badInput, invariant, mismatch } from "../shared/errors.ts";
import { fingerprintTokenizer } from "../shared/fingerprint.ts";
import type { OnnxModel } from "../shared/onnx/model.ts";
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
   * @throws bad-input if the array does not hold whole images; mismatch if the encoder gives an id ≥ K
   */
  encode(images: Uint8Array): Promise<TokenGrid>;
  /**
   * @returns uint8 [N, H, W, 3]
   * @throws bad-input for an id ≥ K, an unknown token, or a grid of another size; mismatch if the decoder is not the manifest's
   */
  decode(grid: TokenGrid): Promise<Uint8Array>;
  dispose(): Promise<void>;
}

/** Images a run of the graphs takes at most: bounds the memory of a large call. */
const LARGEST_BATCH = 32;

/**
 * @throws bad-input if the folder is no artefact; mismatch if it is no tokenizer, a file was changed, the fingerprint is not that of
 *   its encoder, or the encoder's sizes are not the manifest's
 */
export async function loadTokenizer(directory: string, options: SessionOptions = {}): Promise<Tokenizer> {
  const artifact = await openArtifact(directory, { kind: "tokenizer" });
  const { manifest } = artifact;
  const config = parseTokenizerConfig(manifest.config, { where: `${directory}: config`, code: "bad-input" });
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
  const spec: TokenizerSpec = {
    fingerprint,
    codebookSize: config.codebookSize,
    grid: gridOf(config),
    imageSize: [config.imageSize, config.imageSize],
  };
  // Read by us first: the runtime would follow references to other files.
  checkSizes(decodeModel(encoderBytes, artifact.path("encoder.onnx")), spec, artifact.path("encoder.onnx"));
  const encoder = await createSession(encoderBytes, options);
  return createTokenizer({ directory, spec, preprocessing, encoder, decoder: lazyDecoder(artifact, spec, options) });
}

const RESTORE = "Restore the artefact from a copy or make it again.";

/** What graph and manifest both state must agree: callers trust the manifest and would misread what the graph returns. */
function checkSizes({ inputs, outputs }: OnnxModel, { imageSize, grid }: TokenizerSpec, where: string): void {
  for (const [name, sizes] of Object.entries({ image: [...imageSize, 3], tokens: grid })) {
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

/** K as the decoder has it: the rows of the table it looks codes up in. A decoder of another make may show no such table. */
function checkCodebook({ initializers, nodes }: OnnxModel, { codebookSize }: TokenizerSpec, where: string): void {
  const tables = nodes.filter(({ op }) => op === "Gather").map(({ inputs }) => inputs[0]);
  const codebook = initializers.find(({ name, shape }) => shape.length === 2 && tables.includes(name));
  if (codebook === undefined || codebook.shape[0] === codebookSize) return;
  throw mismatch({
    what: "the decoder's codebook is not of the size in the manifest",
    where,
    expected: `${codebookSize} codes`,
    got: String(codebook.shape[0]),
    todo: RESTORE,
  });
}

/** Tokenizing needs no decoder: it is loaded by the first `decode`. */
function lazyDecoder(
  artifact: Artifact,
  spec: TokenizerSpec,
  options: SessionOptions,
): { get(): Promise<OnnxSession>; loaded(): Promise<OnnxSession | undefined> | undefined } {
  let session: Promise<OnnxSession> | undefined;
  return {
    get: () =>
      (session ??= artifact.read("decoder.onnx").then((bytes) => {
        const model = decodeModel(bytes, artifact.path("decoder.onnx"));
        checkSizes(model, spec, artifact.path("decoder.onnx"));
        checkCodebook(model, spec, artifact.path("decoder.onnx"));
        return createSession(bytes, options);
      })),
    loaded: () => session?.catch(() => undefined),
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
        tokens.set(toTokens(chunk, spec, directory), start * gridLength);
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

/** The encoder's ids, which the manifest's K must cover: what is written down as a token is one. */
function toTokens(ids: BigInt64Array, { codebookSize }: TokenizerSpec, where: string): Int32Array {
  const tokens = Int32Array.from(ids, Number);
  const wrong = tokens.find((token) => token < 0 || token >= codebookSize);
  if (wrong === undefined) return tokens;
  const expected = `0 … ${codebookSize - 1}`;
  throw mismatch({
    what: "the encoder gives ids beyond the manifest's codebook",
    where,
    expected,
    got: String(wrong),
    todo: RESTORE,
  });
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
