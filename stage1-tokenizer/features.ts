/**
 * Feature vectors of images, for the Fréchet distance: any ONNX file that takes images and returns one vector for each, or the features
 * that a tokenizer's own encoder has. Knows no metric.
 *
 * What a file must be: one image input, either uint8 [N, H, W, 3], or float32 [N, 3, H, W] scaled to 0 … 1 (a network that wants other
 * means and deviations must hold that scaling in its graph); first output float32 [N, F], or [N, F, h, w], which is averaged over space.
 * H and W fixed in the graph need not be the tokenizer's: images are then resized, bicubic (Catmull-Rom), without keeping their
 * proportions. A fixed N is filled up with black images, whose vectors are dropped.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { openArtifact } from "../shared/artifact.ts";
import { errorNumber } from "../shared/disk.ts";
import { badInput, failure, mismatch, TesseraError } from "../shared/errors.ts";
import type { Dim, OnnxModel, ValueInfo } from "../shared/onnx/model.ts";
import { checkSaturation } from "../shared/onnx/quantize/saturation.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import { createSession, type OnnxSession, type SessionOptions, type TensorValue } from "../shared/onnx/session.ts";
import { sizeOf } from "../shared/records.ts";
import { createPreprocessing, decodeImage, parsePreprocessing } from "./images/index.ts";

type Size = readonly [height: number, width: number];

export interface Features {
  /** [N, F], finite */
  readonly features: Float32Array;
  /** F */
  readonly size: number;
}

export interface FeatureExtractor {
  /** For people: a figure made of features is worth nothing without it. */
  readonly name: string;
  /**
   * @param images uint8 [N, H, W, 3], sRGB, of the size it was opened for. @param count N, at least 1
   * @throws bad-input if the array does not hold `count` images; mismatch if the graph returns no finite vector for each of them
   */
  extract(images: Uint8Array, count: number): Promise<Features>;
  dispose(): Promise<void>;
}

/** The graph in a tokenizer's artefact that returns its encoder's features: image uint8 [N, H, W, 3] → features float32 [N, F]. */
export const FEATURES_FILE = "features.onnx";

/** Images a run of a graph without a fixed N takes at most. */
const LARGEST_BATCH = 32;

/**
 * @param imageSize [H, W] of the images to come.
 * @throws bad-input if the file is missing, damaged or refused by the runtime; mismatch if it does not take one image tensor, or this processor
 * gets its int8 products wrong
 */
export async function openFeatureExtractor(
  path: string,
  imageSize: Size,
  options: SessionOptions = {},
): Promise<FeatureExtractor> {
  return createExtractor(await readBytes(path), { name: basename(path), where: path, imageSize, options });
}

/** Whether `tokenizerFeatures` has something to open. @throws as `openArtifact`. */
export async function hasTokenizerFeatures(directory: string): Promise<boolean> {
  const { manifest } = await openArtifact(directory, { kind: "tokenizer" });
  return Object.hasOwn(manifest.files, FEATURES_FILE);
}

/** The features of a published tokenizer's encoder. @throws as `openArtifact`, and mismatch if the artefact holds none. */
export async function tokenizerFeatures(directory: string, options: SessionOptions = {}): Promise<FeatureExtractor> {
  const artifact = await openArtifact(directory, { kind: "tokenizer" });
  if (!Object.hasOwn(artifact.manifest.files, FEATURES_FILE)) {
    throw mismatch({
      what: `the tokenizer has no ${FEATURES_FILE}: it was made by an older version`,
      where: directory,
      todo: "Publish it again, or give --features a file",
    });
  }
  const { size } = parsePreprocessing(artifact.manifest.preprocessing, `${directory}: preprocessing`);
  return createExtractor(await artifact.read(FEATURES_FILE), {
    name: "encoder features",
    where: artifact.path(FEATURES_FILE),
    imageSize: size,
    options,
  });
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const got = errorNumber(cause) ?? String(cause);
    throw badInput({ what: "the feature extractor cannot be read", where: path, expected: "an ONNX file", got, cause });
  }
}

interface Place {
  readonly name: string;
  readonly where: string;
  readonly imageSize: Size;
  readonly options: SessionOptions;
}

async function createExtractor(bytes: Uint8Array, place: Place): Promise<FeatureExtractor> {
  const { name, where, imageSize, options } = place;
  // Read by us first: the runtime would follow references to other files.
  const model = decodeModel(bytes, where);
  await checkSaturation(model, where);
  const input = imageInput(model, place);
  const output = model.outputs[0]?.name ?? "";
  const session = await load(bytes, where, options);
  const pixels = imageSize[0] * imageSize[1] * 3;
  return {
    name,
    async extract(images, count) {
      if (count < 1 || images.length !== count * pixels) {
        const [expected, got] = [`${count} × ${imageSize.join("×")}×3 values, at least one image`, `${images.length}`];
        throw badInput({ what: "pixels do not fill whole images", where: "FeatureExtractor.extract", expected, got });
      }
      const parts: Features[] = [];
      const batch = input.batch ?? LARGEST_BATCH;
      for (let start = 0; start < count; start += batch) {
        const chunk = Math.min(batch, count - start);
        const fitted = await fit(images.subarray(start * pixels, (start + chunk) * pixels), imageSize, input.size);
        const feed = toFeed(fitted, input, input.batch ?? chunk);
        const result = await runGraph(session, { [input.name]: feed }, { output, where });
        parts.push(takeFeatures(result, { rows: input.batch ?? chunk, wanted: chunk, where: `${where}: ${output}` }));
      }
      return joined(parts, where);
    },
    dispose: () => session.dispose(),
  };
}

interface ImageInput {
  readonly name: string;
  readonly layout: "uint8 [N, H, W, 3]" | "float32 [N, 3, H, W]";
  /** [H, W] that the graph takes. */
  readonly size: Size;
  /** N where it is fixed. */
  readonly batch: number | undefined;
}

/** Older files list their weights among the inputs too. */
function imageInput({ inputs, initializers }: OnnxModel, { where, imageSize }: Place): ImageInput {
  const own = inputs.filter(({ name }) => !initializers.some((weight) => weight.name === name));
  const [input] = own;
  const read = own.length === 1 && input !== undefined ? asImage(input, imageSize) : undefined;
  if (read !== undefined) return read;
  throw mismatch({
    what: "the feature extractor does not take images",
    where,
    expected: "one input, uint8 [N, H, W, 3] or float32 [N, 3, H, W]",
    got: own.map(({ name, type, shape }) => `${name} ${type} [${shape.join(", ")}]`).join("; ") || "none",
  });
}

function asImage({ name, type, shape }: ValueInfo, [height, width]: Size): ImageInput | undefined {
  const [n = "", ...rest] = shape;
  const batch = typeof n === "number" ? n : undefined;
  if (shape.length !== 4 || batch === 0) return undefined;
  const given = (dim: Dim | undefined, otherwise: number): number => (typeof dim === "number" ? dim : otherwise);
  const sizes = (h: Dim | undefined, w: Dim | undefined): Size => [given(h, height), given(w, width)];
  if (type === "uint8" && given(rest[2], 3) === 3) {
    return { name, layout: "uint8 [N, H, W, 3]", size: sizes(rest[0], rest[1]), batch };
  }
  if (type === "float32" && given(rest[0], 3) === 3) {
    return { name, layout: "float32 [N, 3, H, W]", size: sizes(rest[1], rest[2]), batch };
  }
  return undefined;
}

/** What the runtime refuses in a file that a user gave is wrong with the file. */
async function load(bytes: Uint8Array, where: string, options: SessionOptions): Promise<OnnxSession> {
  try {
    return await createSession(bytes, options);
  } catch (cause) {
    if (!(cause instanceof TesseraError)) throw cause;
    throw badInput({ what: `the feature extractor cannot be loaded: ${cause.message}`, where, cause });
  }
}

async function runGraph(
  session: OnnxSession,
  feeds: Readonly<Record<string, TensorValue>>,
  { output, where }: { output: string; where: string },
): Promise<TensorValue> {
  try {
    const result = (await session.run(feeds, [output]))[output];
    if (result === undefined) throw failure({ what: "the graph has no output" });
    return result;
  } catch (cause) {
    if (!(cause instanceof TesseraError)) throw cause;
    throw mismatch({ what: `the feature extractor fails on these images: ${cause.message}`, where, cause });
  }
}

/** [N, H, W, 3] → [N, H′, W′, 3] */
async function fit(images: Uint8Array, from: Size, to: Size): Promise<Uint8Array> {
  if (from.join() === to.join()) return images;
  const [height, width] = from;
  const preprocessing = createPreprocessing(to, { fit: "fill", kernel: "cubic" });
  const count = images.length / (height * width * 3);
  const resized = await Promise.all(
    Array.from({ length: count }, (_, i) => {
      const pixels = images.subarray(i * height * width * 3, (i + 1) * height * width * 3);
      return decodeImage({ pixels, height, width, channels: 3 }, preprocessing, `image ${i}`);
    }),
  );
  const fitted = new Uint8Array(count * sizeOf(to) * 3);
  for (const [i, pixels] of resized.entries()) fitted.set(pixels, i * sizeOf(to) * 3);
  return fitted;
}

/** `rows` images in the graph's layout; black ones after the given ones. */
function toFeed(images: Uint8Array, { layout, size: [height, width] }: ImageInput, rows: number): TensorValue {
  const length = rows * height * width * 3;
  switch (layout) {
    case "uint8 [N, H, W, 3]": {
      const data = images.length === length ? images : new Uint8Array(length);
      if (data !== images) data.set(images);
      return { type: "uint8", shape: [rows, height, width, 3], data };
    }
    case "float32 [N, 3, H, W]": {
      const data = new Float32Array(length);
      const area = height * width;
      for (let i = 0; i < images.length; i++) {
        const [channel, at] = [i % 3, Math.floor(i / 3)];
        const plane = Math.floor(at / area) * 3 + channel;
        data[plane * area + (at % area)] = (images[i] ?? 0) / 255;
      }
      return { type: "float32", shape: [rows, 3, height, width], data };
    }
    default:
      return layout satisfies never;
  }
}

/** [rows, F] or [rows, F, h, w] → the first `wanted` rows, [wanted, F]. */
function takeFeatures(
  { type, shape, data }: TensorValue,
  { rows, wanted, where }: { rows: number; wanted: number; where: string },
): Features {
  const [count, size = 0, ...space] = shape;
  const right = count === rows && size > 0 && sizeOf(space) > 0 && (space.length === 0 || space.length === 2);
  if (!(data instanceof Float32Array) || !right) {
    const expected = `float32 [${rows}, F] or [${rows}, F, h, w]`;
    const got = `${type} [${shape.join(", ")}]`;
    throw mismatch({ what: "the feature extractor returns no vector for each image", where, expected, got });
  }
  const features = averages(data, sizeOf(space)).subarray(0, wanted * size);
  const wrong = features.find((value) => !Number.isFinite(value));
  if (wrong === undefined) return { features, size };
  const expected = "finite features";
  throw mismatch({ what: "the feature extractor returns a value that is no number", where, expected, got: `${wrong}` });
}

/** Means of runs of `length` values. */
function averages(values: Float32Array, length: number): Float32Array {
  if (length === 1) return values;
  return Float32Array.from({ length: values.length / length }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < length; j++) sum += values[i * length + j] ?? 0;
    return sum / length;
  });
}

function joined(parts: readonly Features[], where: string): Features {
  const size = parts[0]?.size ?? 0;
  if (parts.some((part) => part.size !== size)) {
    const got = parts.map((part) => part.size).join(", ");
    throw mismatch({ what: "the feature extractor returns vectors of several lengths", where, got });
  }
  const features = new Float32Array(parts.reduce((sum, part) => sum + part.features.length, 0)); // [N, F]
  parts.reduce((offset, part) => (features.set(part.features, offset), offset + part.features.length), 0);
  return { features, size };
}
