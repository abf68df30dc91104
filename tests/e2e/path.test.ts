/** The whole path through the command line: images → tokenizer → token files → priors → new images. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";

import { openTokens } from "../../shared/token-file/index.ts";
import { loadTokenizer } from "../../stage1-tokenizer/index.ts";
import { loadPrior } from "../../stage2-prior/index.ts";
import { Rng } from "../../shared/rng.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { buildTinyWorld, SIDE, tessera, type TinyWorld } from "./tiny.ts";

const temporary = useTemporaryDirectory();
let world: TinyWorld;

beforeAll(async () => {
  world = await buildTinyWorld(temporary("world"));
}, 120_000);

describe("the whole path", () => {
  it("ends every command with 0 and one line of JSON that holds its figures", () => {
    for (const [name, { code, stdout, stderr }] of Object.entries(world.outcomes)) {
      expect(code, `${name}: ${stderr}`).toBe(0);
      expect(stdout.trimEnd().split("\n"), name).toHaveLength(1);
    }
    expect(world.outcomes["tokenizer"]?.json).toMatchObject({ path: world.tokenizer, steps: 30 });
    expect(world.outcomes["training"]?.json).toMatchObject({ failures: 0, shards: 1 });
    for (const objective of ["causal", "masked"]) {
      const bits = world.outcomes[objective]?.json?.["bitsPerToken"];
      expect(bits).toBeGreaterThan(0);
      expect(bits).toBeLessThan(6); // uniform over K = 16 costs 4
    }
  });

  it("splits whole classes of images and loses none", async () => {
    const [training, heldOut] = [await openTokens(world.training), await openTokens(world.heldOut)];
    expect(training.count + heldOut.count).toBe(24);
    expect(training.header.classes).toEqual(["east", "west"]);
    const keys = [...(await training.load()).keys, ...(await heldOut.load()).keys];
    expect(new Set(keys).size).toBe(24);
  });

  it.each(["causal", "masked"] as const)(
    "generates with the %s prior, the same images for the same seed",
    async (objective) => {
      const runs = [temporary("made"), temporary("made"), temporary("made")];
      for (const [i, out] of runs.entries()) {
        const words = [
          "--tokenizer",
          world.tokenizer,
          "--prior",
          world[objective],
          "--count",
          3,
          "--seed",
          i === 2 ? 8 : 7,
          "--out",
          out,
        ];
        const steps = objective === "masked" ? ["--steps", 4] : [];
        const { code, json, stderr } = await tessera("generate", ...words, ...steps, "--class", "west", "--json");
        expect(code, stderr).toBe(0);
        expect(json).toMatchObject({ count: 3, dtype: "float32" });
        expect(json?.["secondsPerImage"]).toBeGreaterThan(0);
      }
      const files = await Promise.all(runs.map((out, i) => readFile(join(out, `seed${i === 2 ? 8 : 7}-00001.png`))));
      expect(files[0]?.equals(files[1] ?? Buffer.alloc(0))).toBe(true);
      expect(files[0]?.equals(files[2] ?? Buffer.alloc(0))).toBe(false);
      expect(await sharp(files[0]).metadata()).toMatchObject({ width: SIDE, height: SIDE, channels: 3, format: "png" });
      expect(await sharp(join(runs[0] ?? "", "seed7-sheet.png")).metadata()).toMatchObject({ format: "png" });
    },
  );

  it("films the first images being uncovered, and they are the same images", async () => {
    const out = temporary("filmed");
    const words = ["--tokenizer", world.tokenizer, "--prior", world.masked, "--count", 3, "--seed", 7, "--out", out];
    const rest = ["--sampler", "halton", "--steps", 5, "--class", "west", "--top-k", 9, "--top-p", 0.9];
    const guidance = ["--guidance", 2, "--guidance-schedule", "cosine"];
    const plain = await tessera("generate", ...words, ...rest, ...guidance, "--json");
    expect(plain.code, plain.stderr).toBe(0);
    expect(plain.json).not.toHaveProperty("film");
    const image = await readFile(join(out, "seed7-00002.png"));
    const filmed = await tessera("generate", ...words, ...rest, ...guidance, "--film", "--json");
    expect(filmed.code, filmed.stderr).toBe(0);
    expect(filmed.json).toMatchObject({ film: join(out, "seed7-film.webp") });
    expect(await sharp(join(out, "seed7-film.webp")).metadata()).toMatchObject({ format: "webp", pages: 5 });
    expect(image.equals(await readFile(join(out, "seed7-00002.png")))).toBe(true);
  });

  it.each(["causal", "masked"] as const)("generates with the %s prior in int8, and says so", async (objective) => {
    const words = [
      "--tokenizer",
      world.tokenizer,
      "--prior",
      world[objective],
      "--count",
      2,
      "--out",
      temporary("int8"),
    ];
    const { code, json, stderr } = await tessera("generate", ...words, "--dtype", "int8", "--json");
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ count: 2, dtype: "int8" });
  });

  it.each([
    ["masked", ["--dtype", "int4"], /--dtype/],
    ["masked", ["--guidance", 2], /class/],
    ["masked", ["--guidance-schedule", "linear"], /--guidance/],
    ["masked", ["--sampler", "halton", "--choice-temperature", 1], /halton/],
    ["masked", ["--top-p", 0], /--top-p/],
    ["masked", ["--top-k", 0], /--top-k/],
    ["causal", ["--sampler", "halton"], /causal/],
    ["causal", ["--steps", 4], /causal/],
  ] as const)("generate with the %s prior refuses %j (2)", async (objective, wrong, sentence) => {
    const words = ["--tokenizer", world.tokenizer, "--prior", world[objective], "--out", temporary("out")];
    const { code, stderr } = await tessera("generate", ...words, ...wrong);
    expect(code).toBe(2);
    expect(stderr).toMatch(sentence);
  });

  it.each(["causal", "masked"] as const)("samples image i of the %s prior whatever the batch", async (objective) => {
    const prior = await loadPrior(world[objective], { threads: 2 });
    const sample = (batchSize: number) =>
      prior.sample({
        count: 5,
        batchSize,
        rng: Rng.fromSeed(3),
        temperature: 0.7,
        ...(objective === "masked" && { steps: 3 }),
      });
    const [one, two, five] = [await sample(1), await sample(2), await sample(5)];
    expect(one.tokens).toEqual(five.tokens);
    expect(two.tokens).toEqual(five.tokens);
    await prior.dispose();
  });

  it("reconstructs and inspects", async () => {
    const sheet = temporary("sheet.png");
    const source = ["--source", world.images, "--held-out", 0.25, "--split", "held-out", "--sheet", sheet];
    const made = await tessera("reconstruct", "--tokenizer", world.tokenizer, ...source, "--json");
    expect(made.code, made.stderr).toBe(0);
    expect(made.json?.["psnr"]).toBeGreaterThan(5);
    // The published graphs measure what the training engine measured.
    expect(made.json?.["psnr"]).toBeCloseTo(Number(world.outcomes["tokenizer"]?.json?.["psnr"]), 4);
    expect(await sharp(sheet).metadata()).toMatchObject({ format: "png" });
    for (const path of [world.tokenizer, world.training, world.causal]) {
      const { code, json } = await tessera("inspect", path, "--json");
      expect(code).toBe(0);
      expect(json).toMatchObject({ verified: true, fingerprint: world.outcomes["tokenizer"]?.json?.["fingerprint"] });
    }
  });

  it("encodes a batch as it encodes its images one by one", async () => {
    const tokenizer = await loadTokenizer(world.tokenizer, { threads: 2 });
    const images = Rng.fromSeed(1).fill(40 * SIDE * SIDE * 3, (rng) => rng.integer(256));
    const bytes = Uint8Array.from(images);
    const together = await tokenizer.encode(bytes);
    expect(together.shape).toEqual([40, SIDE / 2, SIDE / 2]);
    const length = SIDE * SIDE * 3;
    const last = await tokenizer.encode(bytes.subarray(39 * length));
    expect(last.tokens).toEqual(together.tokens.subarray(39 * (SIDE / 2) ** 2));
    const decoded = await tokenizer.decode(together);
    expect(decoded).toHaveLength(bytes.length);
    await expect(tokenizer.encode(bytes.subarray(1))).rejects.toMatchObject({ code: "bad-input" });
    await expect(tokenizer.decode({ ...together, shape: [40, 1, 64] })).rejects.toMatchObject({ code: "bad-input" });
    await expect(tokenizer.decode({ tokens: new Int32Array(64).fill(16), shape: [1, 8, 8] })).rejects.toMatchObject({
      code: "bad-input",
    });
    await tokenizer.dispose();
  });
});
