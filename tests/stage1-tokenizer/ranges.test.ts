/** Tokenizers in int8: what is published for it, what comes of it, and the folders that cannot. */
import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArtifact } from "../../shared/artifact.ts";
import { activationNames } from "../../shared/onnx/quantize/convolutions.ts";
import { decodeModel } from "../../shared/onnx/read.ts";
import { createPreprocessing, iterateRecords, type ImageRecord } from "../../stage1-tokenizer/images/index.ts";
import { decodeRanges, takeRangeImages } from "../../stage1-tokenizer/ranges.ts";
import { loadTokenizer, type Tokenizer } from "../../stage1-tokenizer/tokenizer.ts";
import { editManifest } from "../contracts/model-artifact.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishMeasured, publishUntrained, tinyImages } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const INT8 = { threads: 1, dtype: "int8" } as const;
const PIXELS = 8 * 8 * 3;
const L = 16;
const config = tinyConfig({ residualLayers: 2 });

/** Changes `ranges.json` and its digest alike. */
function rewriteRanges(directory: string, text: string): string {
  writeFileSync(join(directory, "ranges.json"), text);
  return editManifest(directory, (manifest) => {
    const sha256 = createHash("sha256").update(text).digest("hex");
    Object.assign(manifest, { files: { ...(manifest as unknown as { files: object }).files, "ranges.json": { sha256, bytes: text.length } } }); // prettier-ignore
  });
}

describe("what is published", () => {
  test("are ranges of every activation of both graphs, which themselves are as they are without", async () => {
    const [plain, measured] = [await publishUntrained(config, temporary("plain")), await publishMeasured(config, temporary("measured"))]; // prettier-ignore
    const [a, b] = [await openArtifact(plain), await openArtifact(measured)];
    expect(Object.keys(b.manifest.files).filter((name) => !Object.hasOwn(a.manifest.files, name))).toEqual(["ranges.json"]); // prettier-ignore
    expect(b.manifest.fingerprint).toBe(a.manifest.fingerprint);
    for (const name of Object.keys(a.manifest.files)) expect(b.manifest.files[name], name).toEqual(a.manifest.files[name]); // prettier-ignore
    const ranges = decodeRanges(await b.read("ranges.json"), "ranges.json");
    expect(ranges.images).toBe(16);
    for (const side of ["encoder", "decoder"] as const) {
      const names = activationNames(decodeModel(await b.read(`${side}.onnx`), side));
      expect(Object.keys(ranges[side]).sort()).toEqual([...names].sort());
      expect(names.length).toBeGreaterThan(5);
      for (const [least, largest] of Object.values(ranges[side])) {
        expect(least).toBeLessThanOrEqual(0);
        expect(largest).toBeGreaterThan(0);
      }
    }
  });

  test("is the same for the same images, byte for byte", async () => {
    const [a, b] = [await publishMeasured(config, temporary("a")), await publishMeasured(config, temporary("b"))];
    expect(readFileSync(join(a, "ranges.json")).equals(readFileSync(join(b, "ranges.json")))).toBe(true);
  });

  test.each(["none", "gaussian"])("has no ranges where there are no tokens: %s", async (bottleneck) => {
    const directory = await publishMeasured(tinyConfig({ bottleneck }), temporary("autoencoder"));
    expect(Object.keys((await openArtifact(directory)).manifest.files)).not.toContain("ranges.json");
  });

  test("is measured on at most 256 images, from everywhere in the source", async () => {
    const records = Array.from({ length: 1000 }, (_, i): ImageRecord => {
      const pixels = new Uint8Array(3).fill(Math.floor(i / 4));
      return { key: String(i), family: String(i), read: () => Promise.resolve({ pixels, height: 1, width: 1, channels: 3 }) }; // prettier-ignore
    });
    const set = { count: 1000, records: () => iterateRecords(records) };
    const images = await takeRangeImages(set, createPreprocessing([1, 1]));
    expect(images).toHaveLength(256 * 3);
    expect(new Set(images).size).toBeGreaterThan(200);
    const few = { count: 3, records: () => iterateRecords(records.slice(0, 3)) };
    expect(await takeRangeImages(few, createPreprocessing([1, 1]))).toHaveLength(9);
  });
});

describe.each([
  ["vq-ema", {}],
  ["fsq", { levels: [2, 4, 3, 2], codeDimension: 4, codebookSize: 48 }],
] as const)("a %s tokenizer in int8", (bottleneck, changes) => {
  let directory: string;
  let float32: Tokenizer;
  let int8: Tokenizer;
  beforeAll(async () => {
    directory = await publishMeasured(
      tinyConfig({ bottleneck, ...changes, residualLayers: 2 }),
      temporary("tokenizer"),
    );
    float32 = await loadTokenizer(directory, { threads: 1 });
    int8 = await loadTokenizer(directory, INT8);
  });
  afterAll(() => Promise.all([float32.dispose(), int8.dispose()]));

  test("says so, and is the same tokenizer", () => {
    expect([float32.dtype, int8.dtype]).toEqual(["float32", "int8"]);
    expect(int8.spec).toEqual(float32.spec);
  });

  test("chooses the tokens and draws the pixels of float32, give or take a few", async () => {
    const images = tinyImages(40);
    const [a, b] = [await float32.encode(images), await int8.encode(images)];
    const same = a.tokens.filter((token, i) => token === b.tokens[i]).length;
    expect(same / a.tokens.length).toBeGreaterThan(0.8);
    const [exact, close] = [await float32.decode(a), await int8.decode(a)];
    const errors = exact.map((level, i) => Math.abs(level - (close[i] ?? NaN)));
    expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(2);
    expect(close).not.toEqual(exact);
  });

  test("treats an image alone as among others, bit for bit, and whoever loads it", async () => {
    const images = tinyImages(40);
    const together = await int8.encode(images);
    const decoded = await int8.decode(together);
    const other = await loadTokenizer(directory, { ...INT8, threads: 2 });
    for (const i of [0, 17, 39]) {
      const alone = await other.encode(images.subarray(i * PIXELS, (i + 1) * PIXELS));
      expect(alone.tokens).toEqual(together.tokens.subarray(i * L, (i + 1) * L));
      expect(await other.decode(alone)).toEqual(decoded.subarray(i * PIXELS, (i + 1) * PIXELS));
    }
    await other.dispose();
  });
});

describe("a folder", () => {
  test("without ranges is a float32 tokenizer, and in int8 a mismatch (4) that says what to do", async () => {
    const directory = await publishUntrained(config, temporary("plain"));
    await (await loadTokenizer(directory, { threads: 1, dtype: "float32" })).dispose();
    await expect(loadTokenizer(directory, INT8)).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/has no ranges\.json.*--dtype float32, or train and publish it again/) as string,
    });
  });

  test("with changed or missing ranges is refused in int8 (4, 3), and of no matter in float32", async () => {
    const directory = await publishMeasured(config, temporary("changed"));
    const path = join(directory, "ranges.json");
    writeFileSync(path, readFileSync(path, "utf8").replace("16", "17"));
    await expect(loadTokenizer(directory, INT8)).rejects.toMatchObject({ exitCode: 4, message: expect.stringContaining(path) as string }); // prettier-ignore
    rmSync(path);
    await expect(loadTokenizer(directory, INT8)).rejects.toMatchObject({ exitCode: 3 });
    await (await loadTokenizer(directory, { threads: 1 })).dispose();
  });

  test.each([
    ["no JSON", "{", 3, /ranges\.json: is no JSON/],
    ["half of it", `{ "images": 1, "encoder": {} }`, 3, /decoder/],
    ["a range of text", `{ "images": 1, "encoder": { "v": ["0", 1] }, "decoder": {} }`, 3, /encoder\.v/],
    ["a range that is none", `{ "images": 1, "encoder": { "v": [1] }, "decoder": {} }`, 3, /encoder\.v/],
    ["ranges of other values", `{ "images": 1, "encoder": { "v": [0, 1] }, "decoder": {} }`, 4, /nothing of the graph's value/], // prettier-ignore
  ] as const)("whose ranges are %s is refused in int8", async (_what, text, exitCode, message) => {
    const directory = rewriteRanges(await publishMeasured(config, temporary("damaged")), text);
    const loaded = loadTokenizer(directory, INT8);
    await expect(loaded).rejects.toMatchObject({ exitCode, message: expect.stringMatching(message) as string });
  });
});
