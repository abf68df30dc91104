/** Extractors that can be checked by hand, and files that are none. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import type { OnnxModel } from "../../shared/onnx/model.ts";
import { saturatesPairs } from "../../shared/onnx/quantize/saturation.ts";
import {
  hasTokenizerFeatures,
  openFeatureExtractor,
  tokenizerFeatures,
  type FeatureExtractor,
} from "../../stage1-tokenizer/features.ts";
import { withInt8Product } from "../shared/onnx/models.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import {
  replaceFeatures,
  withoutFeatures,
  channelMeans,
  extractor,
  node,
  planes,
  TO_FLOAT,
  values,
  writeModel,
} from "./extractors.ts";
import { publishUntrained, tinyImages } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const OPTIONS = { threads: 1 };
const PIXELS = 8 * 8 * 3;

const open = (model: OnnxModel): Promise<FeatureExtractor> =>
  openFeatureExtractor(writeModel(temporary("extractor.onnx"), model), [8, 8], OPTIONS);

async function extract(model: OnnxModel, images: Uint8Array, count = images.length / PIXELS): Promise<number[][]> {
  const opened = await open(model);
  try {
    const { features, size } = await opened.extract(images, count);
    expect(features).toHaveLength(count * size);
    return Array.from({ length: count }, (_, i) => [...features.subarray(i * size, (i + 1) * size)]);
  } finally {
    await opened.dispose();
  }
}

/** Mean level of each channel of each image. */
const meansOf = (images: Uint8Array): number[][] =>
  Array.from({ length: images.length / PIXELS }, (_, i) => {
    const sums = [0, 0, 0];
    for (const [at, level] of images.subarray(i * PIXELS, (i + 1) * PIXELS).entries())
      sums[at % 3] = (sums[at % 3] ?? 0) + level;
    return sums.map((sum) => sum / 64);
  });
const close = (rows: readonly (readonly number[])[]): unknown[][] =>
  rows.map((row) => row.map((value) => expect.closeTo(value, 3) as unknown));

describe("an extractor", () => {
  test.each([1, 2, 33, 70])("of bytes gives a vector for each of %d images", async (count) => {
    const images = tinyImages(count);
    expect(await extract(channelMeans(8, 8), images)).toEqual(close(meansOf(images)));
  });

  test.each(["h", ""])("takes images as they are where the graph leaves sizes open (%j)", async (open) => {
    const images = tinyImages(3);
    expect(await extract(channelMeans(open, open), images)).toEqual(close(meansOf(images)));
  });

  test("of floats gets planes of 0 … 1, and is averaged over space", async () => {
    const images = tinyImages(5);
    const expected = meansOf(images).map((row) => row.map((mean) => mean / 255));
    expect(await extract(planes(8, 8), images)).toEqual(close(expected));
    const [row] = await extract(values("h", "w"), images.subarray(0, PIXELS));
    const planar = [0, 1, 2].flatMap((c) => Array.from({ length: 64 }, (_, at) => (images[at * 3 + c] ?? 0) / 255));
    expect(row).toEqual(planar.map((value) => Math.fround(value)));
  });

  test.each([1, 4])("with a fixed N of %d takes any number", async (fixed) => {
    const images = tinyImages(6);
    for (const model of [channelMeans(8, 8, fixed), planes(8, 8, fixed)]) {
      const expected = meansOf(images).map((row) => row.map((mean) => (model.inputs[0]?.type === "uint8" ? mean : mean / 255))); // prettier-ignore
      expect(await extract(model, images)).toEqual(close(expected));
    }
  });

  test("of another size gets images resized to it, bicubic, stretched", async () => {
    const images = tinyImages(2);
    const rows = await extract(values(6, 12), images);
    for (const [i, row] of rows.entries()) {
      const raw = { width: 8, height: 8, channels: 3 } as const;
      const resized = await sharp(images.subarray(i * PIXELS, (i + 1) * PIXELS), { raw })
        .resize({ width: 12, height: 6, fit: "fill", kernel: "cubic" })
        .raw()
        .toBuffer();
      const planar = [0, 1, 2].flatMap((c) => Array.from({ length: 72 }, (_, at) => (resized[at * 3 + c] ?? 0) / 255));
      expect(row).toEqual(planar.map((value) => Math.fround(value)));
    }
  });

  test("is called by its file", async () => {
    const path = writeModel(`${temporary("inception")}.onnx`, channelMeans(8, 8));
    const opened = await openFeatureExtractor(path, [8, 8], OPTIONS);
    expect(path.endsWith(`/${opened.name}`)).toBe(true);
    await opened.dispose();
  });

  test.each([
    ["a value too few", PIXELS - 1, 1],
    ["another count", PIXELS, 2],
    ["no image", 0, 0],
  ])("refuses %s (3)", async (_what, length, count) => {
    const opened = await open(channelMeans(8, 8));
    await expect(opened.extract(new Uint8Array(length), count)).rejects.toMatchObject({ exitCode: 3 });
    await opened.dispose();
  });
});

describe("what is no extractor", () => {
  const uint8 = (shape: readonly (number | string)[]) => ({ type: "uint8", shape }) as const;
  const identity = [node("Identity", "image", "features")];
  const two = channelMeans(8, 8);

  test.each<[string, OnnxModel, RegExp]>([
    ["two inputs", { ...two, inputs: [...two.inputs, { name: "t", type: "float32", shape: [1] }] }, /got image uint8.*; t float32 \[1\]/], // prettier-ignore
    ["no batch", extractor(uint8([8, 8, 3]), [TO_FLOAT]), /got image uint8 \[8, 8, 3\]/],
    ["grey images", extractor(uint8(["N", 8, 8, 1]), [TO_FLOAT]), /got image uint8 \[N, 8, 8, 1\]/],
    ["floats with channels last", extractor({ type: "float32", shape: ["N", 8, 8, 3] }, identity), /float32 \[N, 8, 8, 3\]/], // prettier-ignore
    ["tokens", extractor({ type: "int64", shape: ["N", 4, 4] }, [TO_FLOAT]), /got image int64/],
  ])("%s is refused when it is opened (4)", async (_what, model, message) => {
    const opened = open(model);
    await expect(opened).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(message) as string });
  });

  test("products of uint8 by int8 are refused when it is opened (4) where the processor gets them wrong", async () => {
    const opened = open(withInt8Product(two));
    if (await saturatesPairs())
      await expect(opened).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(/extractor\.onnx.*uint8 by int8/) as string }); // prettier-ignore
    else await (await opened).dispose();
  });

  const floats = { type: "float32", shape: ["N", 3, 8, 8] } as const;
  const scalar = { name: "one", type: "int64", shape: [1], data: new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]) } as const;
  const sliced = { op: "Slice", name: "s", inputs: ["image", "zero", "one", "zero"], outputs: ["first"] };
  test.each<[string, OnnxModel, RegExp]>([
    ["bytes", { ...extractor(uint8(["N", 8, 8, 3]), identity), outputs: [{ name: "features", ...uint8(["N", 8, 8, 3]) }] }, /got uint8 \[2, 8, 8, 3\]/], // prettier-ignore
    ["one number for all", extractor(floats, [node("ReduceMean", "image", "features", { keepdims: { kind: "int", value: 0 } })], []), /expected float32 \[2, F\].*got float32 \[\]/], // prettier-ignore
    ["a rank of 3", extractor(floats, [node("ReduceMean", "image", "features", { axes: { kind: "ints", value: [3] }, keepdims: { kind: "int", value: 0 } })], ["N", 3, 8]), /got float32 \[2, 3, 8\]/], // prettier-ignore
    ["the first image alone", { ...extractor(floats, [sliced, node("Flatten", "first", "features")], ["M", "F"]), initializers: [scalar, { ...scalar, name: "zero", data: new Uint8Array(8) }] }, /got float32 \[1, 192\]/], // prettier-ignore
    ["the logarithm of 0", extractor(floats, [node("Log", "image", "logs"), node("Flatten", "logs", "features")]), /no number.*got -Infinity/], // prettier-ignore
    ["0 / 0", extractor(floats, [{ op: "Div", name: "d", inputs: ["image", "image"], outputs: ["q"] }, node("Flatten", "q", "features")]), /got NaN/], // prettier-ignore
  ])("a graph that returns %s is refused when it is used (4)", async (_what, model, message) => {
    const opened = await open(model);
    const extracted = opened.extract(new Uint8Array(2 * PIXELS), 2);
    await expect(extracted).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(message) as string });
    await opened.dispose();
  });

  test("a graph that cannot take the size it was given is a mismatch (4) in which the file is named", async () => {
    const shape = { op: "Reshape", name: "r", inputs: ["image", "shape"], outputs: ["features"] };
    const to = new BigInt64Array([-1n, 50n]);
    const weights = { name: "shape", type: "int64", shape: [2], data: new Uint8Array(to.buffer) } as const;
    const opened = await open({ ...extractor({ type: "float32", shape: ["N", 3, "h", "w"] }, [shape]), initializers: [weights] }); // prettier-ignore
    const extracted = opened.extract(new Uint8Array(PIXELS), 1);
    await expect(extracted).rejects.toMatchObject({ exitCode: 4, message: expect.stringContaining("extractor.onnx") as string }); // prettier-ignore
    await opened.dispose();
  });

  test("vectors whose length depends on the batch are refused (4)", async () => {
    const product = { op: "Gemm", name: "g", inputs: ["flat", "flat"], outputs: ["features"], attributes: { transB: { kind: "int", value: 1 } } } as const; // prettier-ignore
    const opened = await open(extractor(floats, [node("Flatten", "image", "flat"), product]));
    const extracted = opened.extract(tinyImages(40), 40);
    await expect(extracted).rejects.toMatchObject({ exitCode: 4, message: expect.stringContaining("got 32, 8") as string }); // prettier-ignore
    await opened.dispose();
  });

  test("weights listed among the inputs, as old files do, are none", async () => {
    const images = tinyImages(2);
    const half = { name: "w", type: "float32", shape: [1], data: new Uint8Array(Float32Array.of(0.5).buffer) } as const;
    const model = extractor(floats, [{ op: "Mul", name: "m", inputs: ["image", "w"], outputs: ["features"] }], floats.shape); // prettier-ignore
    const { name, type, shape } = half;
    const old = { ...model, inputs: [...model.inputs, { name, type, shape }], initializers: [half] };
    expect(await extract(old, images)).toEqual(close(meansOf(images).map((row) => row.map((mean) => mean / 510))));
  });

  test("missing, a folder, cut off, text, or a graph of nothing are bad input (3) in which the file is named", async () => {
    const cut = writeModel(temporary("cut.onnx"), channelMeans(8, 8));
    truncateSync(cut, readFileSync(cut).length - 5);
    const text = temporary("text.onnx");
    writeFileSync(text, "no model at all");
    const loose = writeModel(temporary("loose.onnx"), extractor({ type: "float32", shape: ["N", 3, 8, 8] }, [node("Relu", "nowhere", "features")])); // prettier-ignore
    const unknown = writeModel(temporary("unknown.onnx"), extractor({ type: "float32", shape: ["N", 3, 8, 8] }, [node("Conjure", "image", "features")])); // prettier-ignore
    for (const path of [temporary("nowhere.onnx"), join(cut, ".."), cut, text, loose, unknown]) {
      const opened = openFeatureExtractor(path, [8, 8], OPTIONS);
      await expect(opened, path).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining(path) as string }); // prettier-ignore
    }
  });
});

describe("a tokenizer's features", () => {
  const published = (): Promise<string> => publishUntrained(tinyConfig({}), temporary("tokenizer"));

  test("come from the graph in its folder, for images of its size", async () => {
    const directory = replaceFeatures(await published(), channelMeans(8, 8));
    expect(await hasTokenizerFeatures(directory)).toBe(true);
    const opened = await tokenizerFeatures(directory, OPTIONS);
    expect(opened.name).toBe("encoder features");
    const images = tinyImages(3);
    const { features, size } = await opened.extract(images, 3);
    expect(size).toBe(3);
    expect([...features]).toEqual(close([meansOf(images).flat()])[0]);
    await opened.dispose();
  });

  test("of another file than the manifest's are refused (4), missing ones are bad input (3)", async () => {
    const directory = replaceFeatures(await published(), channelMeans(8, 8));
    writeModel(join(directory, "features.onnx"), planes(8, 8));
    await expect(tokenizerFeatures(directory, OPTIONS)).rejects.toMatchObject({ exitCode: 4 });
    rmSync(join(directory, "features.onnx"));
    await expect(tokenizerFeatures(directory, OPTIONS)).rejects.toMatchObject({ exitCode: 3 });
  });

  test("are none in a folder that holds no tokenizer (3)", async () => {
    await expect(hasTokenizerFeatures(temporary("nowhere"))).rejects.toMatchObject({ exitCode: 3 });
  });

  test("that an older version did not write are a mismatch (4) that says so", async () => {
    const directory = withoutFeatures(await published());
    expect(await hasTokenizerFeatures(directory)).toBe(false);
    const opened = tokenizerFeatures(directory, OPTIONS);
    await expect(opened).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(/features\.onnx.*older version/) as string }); // prettier-ignore
  });
});
