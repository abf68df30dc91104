/** `tessera evaluate-tokenizer`: its figures are those of the parts it is made of, on the features it names. */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { loadTokenizer, openFolderSource, streamImages, type Tokenizer } from "../../stage1-tokenizer/index.ts";
import { drawFolder, drawPng, SIDE, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { channelMeans, planes, replaceFeatures, withoutFeatures, writeModel } from "../stage1-tokenizer/extractors.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";

const temporary = useTemporaryDirectory();
const PIXELS = SIDE * SIDE * 3;
const K = 8;
let folder: string;
let plain: string;
let equipped: string;

beforeAll(async () => {
  const config = tinyConfig({ imageSize: SIDE });
  folder = await drawFolder(temporary("images"), ["east", "west"], 10);
  plain = withoutFeatures(await publishUntrained(config, temporary("plain")));
  equipped = replaceFeatures(await publishUntrained(config, temporary("equipped")), channelMeans(SIDE, SIDE));
});

const evaluate = (tokenizer: string, ...words: readonly (string | number)[]): Promise<Outcome> =>
  tessera("evaluate-tokenizer", "--tokenizer", tokenizer, "--source", folder, "--threads", 1, ...words);

async function measured(...words: readonly (string | number)[]): Promise<Readonly<Record<string, unknown>>> {
  const { code, json, stderr } = await evaluate(equipped, ...words, "--json");
  expect(code, stderr).toBe(0);
  return json ?? {};
}

/** Every image of the folder and what the tokenizer makes of it, by its front door. */
async function pairs(): Promise<{ originals: Uint8Array; decoded: Uint8Array; tokens: Int32Array }> {
  const tokenizer: Tokenizer = await loadTokenizer(equipped, { threads: 1 });
  const records = (await openFolderSource(folder)).records();
  const images: number[] = [];
  for await (const batch of streamImages({ records, preprocessing: tokenizer.preprocessing, batchSize: 64 }))
    images.push(...batch.images);
  const originals = Uint8Array.from(images);
  const grid = await tokenizer.encode(originals);
  const decoded = await tokenizer.decode(grid);
  await tokenizer.dispose();
  return { originals, decoded, tokens: grid.tokens };
}

describe("the figures", () => {
  test("are those of all images, their tokens and their bits", async () => {
    const json = await measured("--split", "all");
    const { originals, decoded, tokens } = await pairs();
    const errors = originals.map((level, i) => Math.abs(level - (decoded[i] ?? 0)));
    const mse = errors.reduce((sum, error) => sum + error * error, 0) / errors.length;
    expect(json).toMatchObject({ images: 20, failures: 0, codesUsed: new Set(tokens).size });
    expect(json["mse"]).toBeCloseTo(mse, 6);
    expect(json["psnr"]).toBeCloseTo(10 * Math.log10(255 ** 2 / mse), 6);
    const grid = (SIDE / 2) ** 2;
    expect(json["bitsPerImage"]).toBe(grid * Math.log2(K));
    expect(json["bitsPerPixel"]).toBeCloseTo(Math.log2(K) / 4, 12);
    expect(json["entropyBitsPerImage"]).toBeCloseTo(grid * Math.log2(Number(json["perplexity"])), 6);
    expect(json["entropyBitsPerPixel"]).toBeCloseTo(Math.log2(Number(json["perplexity"])) / 4, 9);
    expect(Number(json["ssim"])).toBeLessThan(1);
  });

  test("are those that reconstruct prints", async () => {
    const words = ["--tokenizer", equipped, "--source", folder, "--split", "all"];
    const { json } = await tessera("reconstruct", ...words, "--sheet", temporary("sheet.png"), "--json");
    const evaluated = await measured("--split", "all");
    for (const name of ["mse", "nmse", "psnr", "ssim", "usage", "codesUsed", "perplexity", "bitsPerImage", "entropyBitsPerImage"]) {
      expect(json?.[name], name).toBeCloseTo(Number(evaluated[name]), 9);
    }
  }); // prettier-ignore

  test("say how many images a second come in and how many are encoded", async () => {
    const json = await measured("--split", "all", "--count", 5);
    expect(json).toMatchObject({ images: 5, timedImages: 5 });
    for (const side of ["source", "encode"]) {
      expect(json[`${side}Seconds`]).toBeGreaterThan(0);
      expect(Number(json[`${side}ImagesPerSecond`]) * Number(json[`${side}Seconds`])).toBeCloseTo(5, 9);
    }
  });
});

describe("the Fréchet distance", () => {
  test("is between originals and reconstructions, on the encoder's features where nothing else is said", async () => {
    const { originals, decoded } = await pairs();
    const json = await measured("--split", "all");
    expect(json).toMatchObject({ features: "encoder features", featureSize: 3 });
    expect(json["frechetDistance"]).toBeGreaterThan(0);
    // Its first term is known: the squared distance of the channels' means over all images.
    const means = [0, 1, 2].map((channel) => {
      const mean = (images: Uint8Array): number =>
        images.reduce((sum, level, i) => sum + (i % 3 === channel ? level : 0), 0) / (images.length / 3);
      return (mean(originals) - mean(decoded)) ** 2;
    });
    expect(json["frechetDistance"]).toBeGreaterThanOrEqual(means.reduce((a, b) => a + b, 0) * 0.999);
    expect(originals).toHaveLength(20 * PIXELS);
  });

  test("is on another network's where a file is given, by whose name it goes", async () => {
    const path = writeModel(`${temporary("inception")}.onnx`, planes(8, 8));
    const json = await measured("--split", "all", "--features", path);
    expect(json).toMatchObject({ features: basename(path), featureSize: 3 });
    // The same means, on a scale of 0 … 1, but for resizing.
    const own = Number((await measured("--split", "all"))["frechetDistance"]);
    expect(Number(json["frechetDistance"]) * 255 ** 2).toBeGreaterThan(own * 0.8);
    expect(Number(json["frechetDistance"]) * 255 ** 2).toBeLessThan(own * 1.2);
    const { stdout } = await evaluate(plain, "--split", "all", "--features", path);
    expect(stdout).toContain(`Fréchet distance (${basename(path)})`);
    expect(stdout).not.toContain("FID");
  });

  test("is left out, with a warning, where the tokenizer has no features and no file is given", async () => {
    const { code, json, stderr } = await evaluate(plain, "--split", "all", "--json");
    expect(code).toBe(0);
    expect(json).toMatchObject({ images: 20, frechetDistance: null, features: null, featureSize: null });
    expect(stderr).toMatch(/no Fréchet distance.*older version/);
  });

  test("takes two images, and more than features to be trusted", async () => {
    const single = await evaluate(equipped, "--split", "all", "--count", 1, "--json");
    expect(single).toMatchObject({ code: 0, json: { images: 1, frechetDistance: null } });
    expect(single.stderr).toMatch(/two images/);
    const three = await evaluate(equipped, "--split", "all", "--count", 3, "--json");
    expect(three.stderr).toMatch(/3 images for 3 features/);
    expect(three.json?.["frechetDistance"]).toBeGreaterThanOrEqual(0);
  });

  test("on a file that is missing is bad input (3), on one that takes no images a mismatch (4)", async () => {
    const missing = await evaluate(equipped, "--split", "all", "--features", temporary("nowhere.onnx"));
    expect(missing.code).toBe(3);
    const grey = channelMeans(8, 8);
    const path = writeModel(temporary("grey.onnx"), { ...grey, inputs: [{ name: "image", type: "uint8", shape: ["N", 8, 8, 1] }] }); // prettier-ignore
    const { code, stderr } = await evaluate(equipped, "--split", "all", "--features", path);
    expect(code).toBe(4);
    expect(stderr).toContain(path);
  });
});

describe("the images", () => {
  test("are the held-out ones unless said otherwise", async () => {
    const { code, json, stderr } = await evaluate(equipped, "--held-out", 0.5, "--json");
    expect(code, stderr).toBe(0);
    const training = await measured("--held-out", 0.5, "--split", "training");
    expect(json?.["images"]).toBeGreaterThan(0);
    expect(Number(json?.["images"]) + Number(training["images"])).toBe(20);
    const { stdout } = await evaluate(equipped, "--held-out", 0.5);
    for (const row of ["held-out PSNR", "held-out SSIM", "bits an image", "bits a pixel", "Fréchet distance (encoder features)", "decode + preprocess", "encode"]) {
      expect(stdout).toContain(row);
    }
  }); // prettier-ignore

  test("that cannot be decoded are left out and counted, each warned of once", async () => {
    const mixed = temporary("mixed");
    await mkdir(mixed);
    for (let i = 0; i < 4; i++) await writeFile(join(mixed, `${i}.png`), await drawPng(i));
    await writeFile(join(mixed, "broken.png"), "no image");
    const words = ["--tokenizer", equipped, "--source", mixed, "--split", "all", "--json"];
    const { code, json, stderr } = await tessera("evaluate-tokenizer", ...words);
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ images: 4, failures: 1 });
    expect(stderr.match(/left out broken\.png/g)).toHaveLength(1);
  });

  test("that are counted off are not all of the first class", async () => {
    const halved = temporary("halved");
    await drawFolder(halved, ["west"], 4);
    await mkdir(join(halved, "east"));
    for (let i = 0; i < 4; i++) await writeFile(join(halved, "east", `${i}.png`), "no image");
    const words = [
      "--tokenizer",
      equipped,
      "--source",
      halved,
      "--held-out",
      0,
      "--split",
      "all",
      "--count",
      2,
      "--json",
    ];
    const { code, json, stderr } = await tessera("evaluate-tokenizer", ...words);
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ images: 1, failures: 1 });
  });

  test("of an empty side are a usage error (2), of a missing folder bad input (3)", async () => {
    expect((await evaluate(equipped, "--held-out", 0)).code).toBe(2);
    const words = ["--tokenizer", equipped, "--source", temporary("nowhere")];
    expect((await tessera("evaluate-tokenizer", ...words)).code).toBe(3);
  });
});
