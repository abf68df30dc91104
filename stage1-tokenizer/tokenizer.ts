/**
 * A published tokenizer, ready to use: images to tokens and back. Runs the artefact's graphs; loads no TensorFlow.js and knows nothing
 * of training.
 */
import { badInput, mismatch } from "../shared/errors.ts";
import type { OnnxModel } from "../shared/onnx/model.ts";
import type { Dtype } from "../shared/onnx/quantize/dtype.ts";
import type { OnnxSession } from "../shared/onnx/session.ts";
import { checkTokens, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import { gridOf } from "./config.ts";
import type { Preprocessing } from "./images/index.ts";
import {
  chunks,
  countImages,
  expectData,
  openModel,
  RESTORE,
  type LazySession,
  type ModelOptions,
} from "./model-artifact.ts";

export interface Tokenizer {
  readonly directory: string;
  readonly spec: TokenizerSpec;
  /** What its convolutions compute in. In int8 some tokens are others than in float32, of the same codes: the fingerprint stays. */
  readonly dtype: Dtype;
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

/**
 * @throws bad-input if the folder is no artefact; mismatch if it is no tokenizer, a file was changed, the fingerprint is not that of
 *   its encoder, the encoder's sizes are not the manifest's, or int8 is asked for and no ranges were published
 */
export async function loadTokenizer(directory: string, options: ModelOptions = {}): Promise<Tokenizer> {
  const model = await openModel(directory, "tokenizer", options);
  const { config, fingerprint } = model;
  const spec: TokenizerSpec = {
    fingerprint,
    codebookSize: config.codebookSize,
    grid: gridOf(config),
    imageSize: [config.imageSize, config.imageSize],
  };
  const sizes = { image: [...spec.imageSize, 3], tokens: spec.grid };
  const encoder = await model.encoder(sizes);
  const decoder = model.decoder(sizes, (graph, where) => checkCodebook(graph, spec, where));
  const { dtype = "float32" } = options;
  return createTokenizer({ directory, spec, dtype, preprocessing: model.preprocessing, encoder, decoder });
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

interface Parts {
  readonly directory: string;
  readonly spec: TokenizerSpec;
  readonly dtype: Dtype;
  readonly preprocessing: Preprocessing;
  readonly encoder: OnnxSession;
  readonly decoder: LazySession;
}

function createTokenizer({ directory, spec, dtype, preprocessing, encoder, decoder }: Parts): Tokenizer {
  const [height, width] = spec.grid;
  const [imageHeight, imageWidth] = spec.imageSize;
  const imageLength = imageHeight * imageWidth * 3;
  const gridLength = height * width;
  return {
    directory,
    spec,
    dtype,
    preprocessing,
    async encode(images) {
      const count = countImages(images, spec.imageSize, "Tokenizer.encode");
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
    dispose: async () => {
      await Promise.all([encoder.dispose(), decoder.dispose()]);
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
