/** Pictures of a latent space: what stands where, and the command that draws them. */
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { interpolationRows, manifoldRows, sampleRows, type Rows } from "../../pipelines/latent-sheets.ts";
import { Rng } from "../../shared/rng.ts";
import { createPreprocessing, iterateRecords, type Autoencoder } from "../../stage1-tokenizer/index.ts";
import { drawFolder, SIDE, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { pixelRecords } from "../stage1-tokenizer/images/fixtures.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";

const temporary = useTemporaryDirectory();
const pixelsOf = (rows: Rows): number[][][] => rows.map((row) => row.map(({ pixels }) => [...pixels]));

/** One pixel an image; its latent is a tenth of it and comes back one level brighter, so that decoded images are told from originals. */
function pixelModel(latentShape: readonly number[] = [3]): { model: Autoencoder; decoded: Float32Array[] } {
  const decoded: Float32Array[] = [];
  const model: Autoencoder = {
    directory: "toy",
    imageSize: [1, 1],
    latentShape,
    variational: true,
    preprocessing: createPreprocessing([1, 1]),
    encode: async (images) => Float32Array.from(images, (level) => level / 10),
    decode: async (latents) => {
      decoded.push(latents);
      const length = latentShape.reduce((product, size) => product * size, 1);
      return Uint8Array.from({ length: (latents.length / length) * 3 }, (_, i) => {
        const value = latents[Math.floor(i / 3) * length + (i % 3)];
        return i % 3 < length ? Math.round((value ?? 0) * 10) + 1 : 0;
      });
    },
    dispose: async () => undefined,
  };
  return { model, decoded };
}

function recordsOf(count: number, broken: readonly number[] = []) {
  const { records } = pixelRecords(count, new Set(broken));
  return { count, records: () => iterateRecords(records) };
}
const failures: string[] = [];
const onFailure = ({ key }: { key: string }): unknown => failures.push(key);
const pixel = (i: number, brighter = 0): number[] => [i + brighter, 2 * i + brighter, 3 * i + brighter];

describe("lines between images", () => {
  test("begin and end at the decoded ends, evenly spaced, between the originals", async () => {
    const { model } = pixelModel();
    const rows = await interpolationRows(model, { records: recordsOf(41), pairs: 1, steps: 3, onFailure });
    // Of 41 records two are taken: those with which 41·½ and 41 are reached.
    expect(pixelsOf(rows)).toEqual([[pixel(20), pixel(20, 1), pixel(30, 1), pixel(40, 1), pixel(40)]]);
  });

  test("are as many as pairs were asked for, or as there are images for", async () => {
    const { model } = pixelModel();
    const count = async (images: number, pairs: number): Promise<number[]> => {
      const rows = await interpolationRows(model, { records: recordsOf(images), pairs, steps: 4, onFailure });
      return rows.map((row) => row.length);
    };
    expect(await count(40, 3)).toEqual([6, 6, 6]);
    expect(await count(5, 3)).toEqual([6, 6]);
    expect(await count(1, 3)).toEqual([]);
  });

  test("of one picture show the middle", async () => {
    const rows = await interpolationRows(pixelModel().model, { records: recordsOf(2), pairs: 1, steps: 1, onFailure });
    expect(pixelsOf(rows)).toEqual([[pixel(0), [2, 2, 3], pixel(1)]]);
  });

  test("leave out what cannot be decoded and say so", async () => {
    failures.length = 0;
    const records = recordsOf(5, [1]);
    const rows = await interpolationRows(pixelModel().model, { records, pairs: 3, steps: 2, onFailure });
    expect(failures).toEqual(["image-1"]);
    expect(pixelsOf(rows).map((row) => [row.at(0), row.at(-1)])).toEqual([
      [pixel(0), pixel(2)],
      [pixel(3), pixel(4)],
    ]);
    const none = interpolationRows(pixelModel().model, {
      records: recordsOf(2, [0, 1]),
      pairs: 1,
      steps: 2,
      onFailure,
    });
    await expect(none).rejects.toMatchObject({ code: "bad-input" });
  });
});

describe("samples", () => {
  const draw = async (seed: number, count = 500) => {
    const { model, decoded } = pixelModel();
    const rows = await sampleRows(model, { count, rng: Rng.fromSeed(seed) });
    return { tiles: pixelsOf(rows).flat(), latents: [...(decoded[0] ?? [])] };
  };

  test("are standard normal latents, one picture each", async () => {
    const { tiles, latents } = await draw(1);
    expect(tiles).toHaveLength(500);
    expect(latents).toHaveLength(1500);
    const mean = latents.reduce((sum, value) => sum + value, 0) / 1500;
    const variance = latents.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 1500;
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(1500));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / 1500));
  });

  test("are the same for the same seed, whatever their number, and others for another", async () => {
    const { latents } = await draw(1);
    expect((await draw(1)).latents).toEqual(latents);
    expect((await draw(1, 7)).latents).toEqual(latents.slice(0, 21));
    expect((await draw(2)).latents).not.toEqual(latents);
  });
});

describe("the manifold", () => {
  test("goes from −2 to 2, x to the right and y upwards", async () => {
    const { model, decoded } = pixelModel([2]);
    const rows = (await manifoldRows(model, 3)) ?? [];
    expect(rows.map((row) => row.length)).toEqual([3, 3, 3]);
    expect([...(decoded[0] ?? [])].map((value) => value + 0)).toEqual([
      ...[-2, 2, 0, 2, 2, 2],
      ...[-2, 0, 0, 0, 2, 0],
      ...[-2, -2, 0, -2, 2, -2],
    ]);
  });

  test("of one picture is the origin", async () => {
    const { model, decoded } = pixelModel([2]);
    expect(await manifoldRows(model, 1)).toHaveLength(1);
    expect([...(decoded[0] ?? [NaN])].map(Math.abs)).toEqual([0, 0]);
  });

  test.each([[[1]], [[3]], [[2, 2, 1]], [[4, 4, 2]]])(
    "takes two dimensions: there is none of %j",
    async (latentShape) => {
      const { model, decoded } = pixelModel(latentShape);
      expect(await manifoldRows(model, 3)).toBeUndefined();
      expect(decoded).toEqual([]);
    },
  );
});

describe("tessera latent-sheets", () => {
  let images: string;
  const models: Record<string, string> = {};
  beforeAll(async () => {
    images = await drawFolder(temporary("images"), ["east"], 6);
    const publish = (bottleneck: string, codeDimension = 4): Promise<string> =>
      publishUntrained(tinyConfig({ bottleneck, codeDimension, imageSize: SIDE }), temporary("model"));
    models["plane"] = await publish("gaussian-vector", 2);
    models["gaussian"] = await publish("gaussian");
    models["none"] = await publish("none");
    models["vq"] = await publish("vq");
  });

  const draw = (
    model: string,
    out: string,
    changes: Readonly<Record<string, string | number>> = {},
  ): Promise<Outcome> => {
    const words = {
      ...{ "--autoencoder": models[model] ?? "", "--source": images, "--out": out, "--held-out": 0, "--split": "all" },
      ...{ "--pairs": 2, "--between": 3, "--samples": 4, "--side": 3, ...changes },
    };
    return tessera("latent-sheets", ...Object.entries(words).flat(), "--json");
  };

  test.each([
    ["plane", ["interpolation", "manifold", "samples"], ""],
    ["gaussian", ["interpolation", "samples"], "No manifold"],
    ["none", ["interpolation"], ""],
  ])("of the model %s draws %j", async (model, sheets, note) => {
    const out = temporary("sheets");
    const { code, json, stderr } = await draw(model, out);
    expect(code, stderr).toBe(0);
    expect((await readdir(out)).sort()).toEqual(sheets.map((name) => `${name}.png`));
    expect(json).toEqual(Object.fromEntries(sheets.map((name) => [name, join(out, `${name}.png`)])));
    for (const name of sheets)
      expect(await sharp(join(out, `${name}.png`)).metadata()).toMatchObject({ format: "png" });
    expect(stderr.includes("No manifold")).toBe(note !== "");
    // Two rows of five pictures, each twice its size with four pixels around.
    const { width, height } = await sharp(join(out, "interpolation.png")).metadata();
    expect([width, height]).toEqual([5 * (2 * SIDE + 4) + 4, 2 * (2 * SIDE + 4) + 4]);
  });

  test("draws the same samples for the same seed", async () => {
    const bytes = async (seed: number): Promise<Buffer> => {
      const out = temporary("sheets");
      await draw("gaussian", out, { "--seed": seed });
      return sharp(join(out, "samples.png")).raw().toBuffer();
    };
    const first = await bytes(1);
    expect((await bytes(1)).equals(first)).toBe(true);
    expect((await bytes(2)).equals(first)).toBe(false);
  });

  test("goes on without an image that cannot be decoded, and says when one is not enough", async () => {
    const broken = await drawFolder(temporary("broken"), ["east"], 1);
    await writeFile(join(broken, "east", "broken.png"), "no image");
    const out = temporary("sheets");
    const { code, json, stderr } = await draw("gaussian", out, { "--source": broken });
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/left out east\/broken\.png/);
    expect(stderr).toContain("no interpolation: it takes two images");
    expect(Object.keys(json ?? {})).toEqual(["samples"]);
  });

  test("refuses a tokenizer (4), an empty side of the split (2) and a model that is not there (3)", async () => {
    const out = temporary("sheets");
    const tokenizer = await draw("vq", out);
    expect(tokenizer.code).toBe(4);
    expect(tokenizer.stderr).toContain("expected autoencoder, got tokenizer");
    const empty = await draw("none", out, { "--split": "held-out" });
    expect([empty.code, empty.stderr]).toEqual([2, expect.stringContaining("no image is on the held-out side")]);
    const missing = await draw("none", out, { "--autoencoder": temporary("nowhere") });
    expect([missing.code, missing.stderr]).toEqual([3, expect.stringContaining("nowhere")]);
    expect(existsSync(join(out, "interpolation.png"))).toBe(false);
  });
});
