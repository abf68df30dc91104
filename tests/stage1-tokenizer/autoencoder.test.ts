/** Published autoencoders, loaded and used; and the folders that are none. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { publishArtifact } from "../../shared/artifact.ts";
import { tf } from "../../shared/engine/tf.ts";
import { loadAutoencoder, type Autoencoder } from "../../stage1-tokenizer/autoencoder.ts";
import { evaluationState, imagesToLatents, latentsToImages } from "../../stage1-tokenizer/model/tokenize.ts";
import { loadTokenizer } from "../../stage1-tokenizer/tokenizer.ts";
import { toTensors } from "../contracts/bottleneck.ts";
import { editManifest, testChangedFolder } from "../contracts/model-artifact.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained, tinyImages, untrained } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const OPTIONS = { threads: 1 };
const PIXELS = 8 * 8 * 3;

describe.each([
  ["gaussian", [4, 4, 4], true],
  ["gaussian-vector", [4], true],
  ["none", [4, 4, 4], false],
] as const)("a %s autoencoder", (bottleneck, latentShape, variational) => {
  const config = tinyConfig({ bottleneck });
  const LATENT = latentShape.reduce<number>((length, size) => length * size, 1);
  let directory: string;
  let model: Autoencoder;
  beforeAll(async () => {
    await tf.setBackend("cpu");
    directory = await publishUntrained(config, temporary("autoencoder"));
    model = await loadAutoencoder(directory, OPTIONS);
  });
  afterAll(() => model.dispose());

  test("says what it is", () => {
    expect(model).toMatchObject({ directory, imageSize: [8, 8], latentShape, variational });
    expect(model.preprocessing).toMatchObject({ size: [8, 8] });
  });

  test("encodes and decodes as the training code does on the oracle", async () => {
    const { spec, values } = untrained(config).state;
    const weights = toTensors(evaluationState(spec), evaluationState(values));
    const images = tinyImages(6);
    const expected = imagesToLatents(config, weights, tf.tensor(images, [6, 8, 8, 3], "int32"));
    const latents = await model.encode(images);
    expect(latents).toHaveLength(6 * LATENT);
    expect(expected.shape).toEqual([6, ...latentShape]);
    const known = expected.dataSync();
    for (const [i, value] of latents.entries()) expect(value).toBeCloseTo(known[i] ?? NaN, 5);
    expect(new Set(latents).size).toBeGreaterThan(3);
    const decoded = await model.decode(latents);
    const levels = latentsToImages(config, weights, expected).dataSync();
    expect(decoded).toHaveLength(6 * PIXELS);
    // Rounding may fall on either side of a half.
    for (const [i, level] of decoded.entries()) expect(Math.abs(level - (levels[i] ?? NaN))).toBeLessThanOrEqual(1);
    expect(new Set(decoded).size).toBeGreaterThan(10);
  });

  test.each([0, 1, 3, 40])("treats %i images as it treats each of them", async (count) => {
    const images = tinyImages(count);
    const together = await model.encode(images);
    expect(together).toHaveLength(count * LATENT);
    const decoded = await model.decode(together);
    expect(decoded).toHaveLength(count * PIXELS);
    for (const i of count === 0 ? [] : [0, count - 1]) {
      const alone = await model.encode(images.subarray(i * PIXELS, (i + 1) * PIXELS));
      const same = together.subarray(i * LATENT, (i + 1) * LATENT);
      for (const [at, value] of alone.entries()) expect(value).toBeCloseTo(same[at] ?? NaN, 5);
      const image = await model.decode(same);
      const pixels = decoded.subarray(i * PIXELS, (i + 1) * PIXELS);
      for (const [at, level] of image.entries()) expect(Math.abs(level - (pixels[at] ?? NaN))).toBeLessThanOrEqual(1);
    }
  });

  test("arrays that do not fill whole images or latents are bad input (3)", async () => {
    for (const length of [1, PIXELS - 1, PIXELS + 1])
      await expect(model.encode(new Uint8Array(length))).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining(`got ${length}`) as string }); // prettier-ignore
    for (const length of [1, LATENT - 1, LATENT + 1])
      await expect(model.decode(new Float32Array(length))).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining(`= ${LATENT} values, got ${length}`) as string }); // prettier-ignore
  });

  test("is no tokenizer, in words of what it lacks (4)", async () => {
    await expect(loadTokenizer(directory, OPTIONS)).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/makes no tokens \(expected a tokenizer, got an autoencoder\).*vq-ema/) as string,
    });
  });
});

describe("a folder that was changed", () => {
  const published = (bottleneck = "none"): Promise<string> =>
    publishUntrained(tinyConfig({ bottleneck }), temporary("autoencoder"));
  const load = (directory: string): Promise<Autoencoder> => loadAutoencoder(directory, OPTIONS);

  const withManifest = async (change: Parameters<typeof editManifest>[1]): Promise<string> =>
    editManifest(await published(), change);

  testChangedFolder({ publish: () => published(), load });

  test.each([
    ["an image size", { imageSize: 16 }, /image.*expected \[N, 16, 16, 3\], got \[N, 8, 8, 3\]/],
    ["a grid", { stride: 4 }, /latent.*expected \[N, 2, 2, 4\], got \[N, 4, 4, 4\]/],
    ["a dimension", { codeDimension: 5 }, /latent.*expected \[N, 4, 4, 5\], got \[N, 4, 4, 4\]/],
    [
      "a kind of latent",
      { bottleneck: "gaussian-vector", reconstruction: "gaussian" },
      /latent.*expected \[N, 4\], got/,
    ],
    ["a bottleneck of codes", { bottleneck: "vq" }, /bottleneck in the manifest is none of an autoencoder \(got vq\)/],
  ])("%s that is not the graph's is refused (4)", async (_what, config, message) => {
    const directory = await withManifest((manifest) => Object.assign(manifest.config, config));
    await expect(load(directory)).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(message) as string }); // prettier-ignore
  });

  test("missing (3), or of another kind (4)", async () => {
    await expect(load(temporary("nowhere"))).rejects.toMatchObject({ exitCode: 3 });
    const prior = temporary("prior");
    await publishArtifact({ directory: prior, kind: "prior", config: {}, files: {} });
    for (const [directory, kind] of [
      [await published("vq"), "tokenizer"],
      [prior, "prior"],
    ] as const) {
      await expect(load(directory)).rejects.toMatchObject({
        exitCode: 4,
        message: expect.stringContaining(`expected autoencoder, got ${kind}`) as string,
      });
    }
  });
});
