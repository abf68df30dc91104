/** Published tokenizers, loaded and used; and the folders that are none. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArtifact, publishArtifact, type JsonObject } from "../../shared/artifact.ts";
import { tf } from "../../shared/engine/tf.ts";
import { fingerprintTokenizer, sha256Hex } from "../../shared/fingerprint.ts";
import { saturatesPairs } from "../../shared/onnx/quantize/saturation.ts";
import { decodeModel } from "../../shared/onnx/read.ts";
import { encodeModel } from "../../shared/onnx/write.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import { evaluationState, imagesToTokens, tokensToImages } from "../../stage1-tokenizer/model/tokenize.ts";
import { loadTokenizer, type Tokenizer } from "../../stage1-tokenizer/tokenizer.ts";
import { toTensors } from "../contracts/bottleneck.ts";
import { editManifest, testChangedFolder } from "../contracts/model-artifact.ts";
import { withInt8Product } from "../shared/onnx/models.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained, tinyImages, untrained } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const OPTIONS = { threads: 1 };
const PIXELS = 8 * 8 * 3;
const L = 16;

describe.each(["vq", "vq-ema"] as const)("a %s tokenizer", (bottleneck) => {
  const config = tinyConfig({ bottleneck });
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    await tf.setBackend("cpu");
    tokenizer = await loadTokenizer(await publishUntrained(config, temporary("tokenizer")), OPTIONS);
  });
  afterAll(() => tokenizer.dispose());

  test("says what its manifest says", () => {
    expect(tokenizer.spec).toMatchObject({ codebookSize: 8, grid: [4, 4], imageSize: [8, 8] });
    expect(tokenizer.spec.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(tokenizer.preprocessing).toMatchObject({ size: [8, 8] });
  });

  test("encodes and decodes as the training code does on the oracle", async () => {
    const { spec, values } = untrained(config).state;
    const weights = toTensors(evaluationState(spec), evaluationState(values));
    const images = tinyImages(6);
    const expected = imagesToTokens(config, weights, tf.tensor(images, [6, 8, 8, 3], "int32"));
    const grid = await tokenizer.encode(images);
    expect(grid.shape).toEqual([6, 4, 4]);
    expect([...grid.tokens]).toEqual([...expected.dataSync()]);
    expect(new Set(grid.tokens).size).toBeGreaterThan(2);
    const decoded = await tokenizer.decode(grid);
    const levels = tokensToImages(config, weights, expected).dataSync();
    expect(decoded).toHaveLength(6 * PIXELS);
    // Rounding may fall on either side of a half.
    for (const [i, level] of decoded.entries()) expect(Math.abs(level - (levels[i] ?? NaN))).toBeLessThanOrEqual(1);
    expect(new Set(decoded).size).toBeGreaterThan(10);
  });

  test.each([0, 1, 3, 40])("treats %d images as it treats each of them", async (count) => {
    const images = tinyImages(count);
    const together = await tokenizer.encode(images);
    expect(together.shape).toEqual([count, 4, 4]);
    const decoded = await tokenizer.decode(together);
    expect(decoded).toHaveLength(count * PIXELS);
    for (const i of new Set([0, count - 1]).values()) {
      if (count === 0) break;
      const alone = await tokenizer.encode(images.subarray(i * PIXELS, (i + 1) * PIXELS));
      expect(alone.tokens).toEqual(together.tokens.subarray(i * L, (i + 1) * L));
      expect(await tokenizer.decode(alone)).toEqual(decoded.subarray(i * PIXELS, (i + 1) * PIXELS));
    }
  });

  test("pixels that do not fill whole images are bad input (3)", async () => {
    for (const length of [1, PIXELS - 1, PIXELS + 1]) {
      const encoded = tokenizer.encode(new Uint8Array(length));
      await expect(encoded).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining(`got ${length}`) as string }); // prettier-ignore
    }
  });

  const grid = (tokens: readonly number[], shape: TokenGrid["shape"] = [1, 4, 4]): TokenGrid => ({
    tokens: Int32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => tokens[i] ?? 0),
    shape,
  });
  test.each([
    ["of another size", grid([], [1, 2, 8]), "expected 4×4 tokens an image, got 2×8"],
    ["that does not fill its shape", { tokens: new Int32Array(15), shape: [1, 4, 4] } as const, "got 15"],
    ["with an id ≥ K", grid([0, 7, 8]), "token 2 is not an id of the codebook (expected 0 … 7, got 8)"],
    ["with an unknown token", grid([0, UNKNOWN]), "token 1 is not an id of the codebook (expected 0 … 7, got -1)"],
  ])("a grid %s is bad input (3)", async (_what, wrong, sentence) => {
    const decoded = tokenizer.decode(wrong);
    await expect(decoded).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining(sentence) as string });
  });
});

describe("a folder that was changed", () => {
  const published = (): Promise<string> => publishUntrained(tinyConfig({}), temporary("tokenizer"));
  const load = (directory: string): Promise<Tokenizer> => loadTokenizer(directory, OPTIONS);

  const withManifest = async (change: Parameters<typeof editManifest>[1]): Promise<string> =>
    editManifest(await published(), change);

  testChangedFolder({ publish: () => published(), load });

  test.each([
    ["an image size", { imageSize: 16 }, /image.*expected \[N, 16, 16, 3\], got \[N, 8, 8, 3\]/],
    ["a grid", { stride: 4 }, /tokens.*expected \[N, 2, 2\], got \[N, 4, 4\]/],
    [
      "a bottleneck without codes",
      { bottleneck: "none" },
      /bottleneck in the manifest is none of a tokenizer \(got none\)/,
    ],
  ])("%s that is not the graph's is refused (4)", async (_what, config, message) => {
    const directory = await withManifest((manifest) => Object.assign(manifest.config, config));
    await expect(load(directory)).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(message) as string }); // prettier-ignore
  });

  test("a K that is not the graphs' is refused (4) as soon as it would matter", async () => {
    const larger = await load(await withManifest((manifest) => (manifest.config["codebookSize"] = 9)));
    const decoded = larger.decode(await larger.encode(tinyImages(2)));
    await expect(decoded).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(/expected 9 codes, got 8/) as string }); // prettier-ignore
    const smaller = await load(await withManifest((manifest) => (manifest.config["codebookSize"] = 2)));
    await expect(smaller.encode(tinyImages(6))).rejects.toMatchObject({ exitCode: 4, message: expect.stringContaining("expected 0 … 1") as string }); // prettier-ignore
    await Promise.all([larger.dispose(), smaller.dispose()]);
  });

  test.each(["encoder", "decoder"])("products of uint8 by int8 in its %s are refused (4) where the processor gets them wrong", async (side) => {
    const directory = await published();
    const file = join(directory, `${side}.onnx`);
    const bytes = encodeModel(withInt8Product(decodeModel(readFileSync(file), file)));
    writeFileSync(file, bytes);
    const preprocessing = (await openArtifact(directory)).manifest.preprocessing as JsonObject;
    editManifest(directory, (manifest) => {
      manifest.files[`${side}.onnx`] = { sha256: sha256Hex(bytes), bytes: bytes.length };
      if (side === "encoder") manifest.fingerprint = fingerprintTokenizer(bytes, preprocessing);
    });
    const used = async (): Promise<void> => {
      const tokenizer = await load(directory);
      await tokenizer.decode(await tokenizer.encode(tinyImages(1))).finally(() => tokenizer.dispose());
    };
    if (await saturatesPairs()) await expect(used()).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(/coder\.onnx.*uint8 by int8/) as string }); // prettier-ignore
    else await used();
  }); // prettier-ignore

  test("missing (3), or of another kind (4)", async () => {
    await expect(load(temporary("nowhere"))).rejects.toMatchObject({ exitCode: 3 });
    const directory = temporary("prior");
    await publishArtifact({ directory, kind: "prior", config: {}, files: {} });
    await expect(load(directory)).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/expected tokenizer, got prior/) as string,
    });
  });
});
