/** What goes in wrong comes out as one sentence and the right exit code, and nothing half made stays behind. */
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { beforeAll, describe, expect, it } from "vitest";

import { decodeModel } from "../../shared/onnx/read.ts";
import { encodeModel } from "../../shared/onnx/write.ts";
import { sha256Hex } from "../../shared/fingerprint.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { buildTinyWorld, drawFolder, drawPng, tessera, TINY_PRIOR, TINY_TOKENIZER, type TinyWorld } from "./tiny.ts";

const temporary = useTemporaryDirectory();
let world: TinyWorld;

beforeAll(async () => {
  world = await buildTinyWorld(temporary("world"));
}, 120_000);

/** Later words win over the defaults. */
function withDefaults(
  defaults: readonly (string | number)[],
  words: readonly (string | number)[],
): (string | number)[] {
  const kept = defaults.flatMap((word, i) =>
    i % 2 === 0 && !words.includes(word) ? [word, defaults[i + 1] ?? ""] : [],
  );
  return [...kept, ...words];
}
const trainTokenizer = (images: string, out: string, ...words: readonly (string | number)[]) =>
  tessera(
    "train-tokenizer",
    "--source",
    images,
    "--out",
    out,
    ...withDefaults(["--steps", 3, ...TINY_TOKENIZER], words),
  );
const trainPrior = (tokens: string, out: string, ...words: readonly (string | number)[]) =>
  tessera(
    "train-prior",
    "--objective",
    "causal",
    "--tokens",
    tokens,
    "--out",
    out,
    ...withDefaults(["--steps", 3, ...TINY_PRIOR], words),
  );
const tokenize = (images: string, out: string) =>
  tessera("tokenize", "--tokenizer", world.tokenizer, "--source", images, "--out", out, "--json");

describe("image folders", () => {
  it("a missing or empty folder is bad input (3)", async () => {
    const missing = await trainTokenizer(temporary("nowhere"), temporary("out"));
    expect(missing.code).toBe(3);
    const empty = temporary("empty");
    await mkdir(empty);
    const result = await trainTokenizer(empty, temporary("out"));
    expect(result.code).toBe(3);
    expect(result.stderr).toContain(empty);
  });

  it("a folder in which nothing can be decoded is bad input (3), and no artefact appears", async () => {
    const folder = temporary("broken");
    await mkdir(folder);
    for (const name of ["a.png", "b.jpg"]) await writeFile(join(folder, name), "no image");
    const out = temporary("out");
    const { code, stderr } = await trainTokenizer(folder, out);
    expect(code).toBe(3);
    expect(stderr).toMatch(/a\.png|b\.jpg/);
    expect(existsSync(out)).toBe(false);
  });

  it("bad images among good ones are warned of in training and recorded in tokenizing", async () => {
    const folder = await drawFolder(temporary("mixed"), ["east"], 8);
    await writeFile(join(folder, "east", "empty.png"), "");
    await writeFile(join(folder, "east", "cut.png"), (await drawPng(1)).subarray(0, 60));
    const trained = await trainTokenizer(folder, temporary("tokenizer"), "--steps", 4);
    expect(trained.code, trained.stderr).toBe(0);
    expect(trained.stderr).toContain("empty.png");
    const out = temporary("tokens");
    const { code, json, stderr } = await tokenize(folder, out);
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ images: 8, failures: 2 });
    const failures = (await readFile(join(out, "failures.jsonl"), "utf8")).trim().split("\n");
    expect(failures.map((line) => (JSON.parse(line) as { key: string }).key).sort()).toEqual([
      "east/cut.png",
      "east/empty.png",
    ]);
  });

  it("a folder with one class, and one with none, are fine", async () => {
    const flat = temporary("flat");
    await mkdir(flat);
    for (let i = 0; i < 4; i++) await writeFile(join(flat, `${i}.png`), await drawPng(i));
    for (const folder of [await drawFolder(temporary("single"), ["only"], 4), flat]) {
      const { code, stderr } = await tokenize(folder, temporary("tokens"));
      expect(code, stderr).toBe(0);
    }
  });
});

describe("options", () => {
  it.each([
    ["a size the stride does not divide", ["--image-size", 17], /imageSize.*multiple of stride 2/],
    ["a stride that is no power of two", ["--stride", 3], /stride/],
    ["K = 1", ["--codebook-size", 1], /codebookSize/],
    ["a number that is none", ["--batch-size", "abc"], /--batch-size.*abc/],
    ["an unknown option", ["--codebok-size", 16], /--codebok-size.*--codebook-size/],
    ["NaN", ["--learning-rate", "NaN"], /--learning-rate/],
  ])("%s is a usage error (2)", async (_name, words, sentence) => {
    const out = temporary("out");
    const { code, stderr, stdout } = await tessera("train-tokenizer", "--source", world.images, "--out", out, ...words);
    expect(code).toBe(2);
    expect(stderr).toMatch(sentence);
    expect(stdout).toBe("");
    expect(existsSync(out)).toBe(false);
  });

  it("a prior that its heads do not divide is a usage error (2)", async () => {
    const { code, stderr } = await trainPrior(world.training, temporary("out"), "--width", 18);
    expect(code).toBe(2);
    expect(stderr).toContain("heads");
  });

  it("an output folder that exists is refused (2) unless it may be overwritten", async () => {
    const before = await readFile(join(world.training, "manifest.json"));
    const words = ["--tokenizer", world.tokenizer, "--source", world.images, "--out", world.training];
    const refused = await tessera("tokenize", ...words);
    expect(refused.code).toBe(2);
    expect(await readFile(join(world.training, "manifest.json"))).toEqual(before);
    const copy = temporary("copy");
    await cp(world.training, copy, { recursive: true });
    const allowed = await tessera("tokenize", ...words.with(-1, copy), "--overwrite");
    expect(allowed.code, allowed.stderr).toBe(0);
  });

  it("an output path below a file is wrong usage (2)", async () => {
    const file = temporary("file");
    await writeFile(file, "");
    const { code, stderr } = await tokenize(world.images, join(file, "tokens"));
    expect(code).toBe(2);
    expect(stderr).toContain(file);
  });

  it("a class that does not exist is a usage error (2) that lists those that do", async () => {
    const words = [
      "--tokenizer",
      world.tokenizer,
      "--prior",
      world.causal,
      "--class",
      "north",
      "--out",
      temporary("out"),
    ];
    const { code, stderr } = await tessera("generate", ...words);
    expect(code).toBe(2);
    expect(stderr).toMatch(/north.*east, west/);
  });
});

describe("things that do not belong together (4)", () => {
  let other: string;
  let otherTokens: string;
  beforeAll(async () => {
    other = temporary("other-tokenizer");
    const trained = await trainTokenizer(world.images, other, "--seed", 9);
    expect(trained.code, trained.stderr).toBe(0);
    otherTokens = temporary("other-tokens");
    const { code } = await tessera("tokenize", "--tokenizer", other, "--source", world.images, "--out", otherTokens);
    expect(code).toBe(0);
  });

  it("a prior of another tokenizer is refused with both fingerprints", async () => {
    const { code, stderr } = await tessera(
      "generate",
      "--tokenizer",
      other,
      "--prior",
      world.masked,
      "--out",
      temporary("out"),
    );
    expect(code).toBe(4);
    expect(stderr.match(/[0-9a-f]{64}/g)).toHaveLength(2);
  });

  it("held-out tokens of another tokenizer are refused", async () => {
    const { code, stderr } = await trainPrior(world.training, temporary("out"), "--held-out", otherTokens);
    expect(code).toBe(4);
    expect(new Set(stderr.match(/[0-9a-f]{64}/g)).size).toBe(2);
  });

  it("a changed byte in any file of a tokenizer is found", async () => {
    for (const file of ["encoder.onnx", "decoder.onnx", "model.safetensors"]) {
      const copy = temporary("changed");
      await cp(world.tokenizer, copy, { recursive: true });
      const bytes = await readFile(join(copy, file));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      await writeFile(join(copy, file), bytes);
      const { code, stderr } = await tessera("inspect", copy);
      expect(code, file).toBe(4);
      expect(stderr).toContain(file);
    }
  });

  it("a token shard with a flipped byte is refused (4), a cut one is bad input (3)", async () => {
    const [shard = ""] = (await readdir(world.training)).filter((name) => name.endsWith(".msgpack"));
    const [flipped, cut] = [temporary("flipped"), temporary("cut")];
    for (const copy of [flipped, cut]) await cp(world.training, copy, { recursive: true });
    const bytes = await readFile(join(flipped, shard));
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4;
    await writeFile(join(flipped, shard), bytes);
    expect((await trainPrior(flipped, temporary("out"))).code).toBe(4);
    await truncate(join(cut, shard), bytes.length >> 1);
    expect((await trainPrior(cut, temporary("out"))).code).toBe(3);
  });

  it("a prior whose graph has another K than its manifest says is refused", async () => {
    const copy = temporary("other-k");
    await cp(world.masked, copy, { recursive: true });
    const path = join(copy, "manifest.json");
    const manifest = JSON.parse(await readFile(path, "utf8")) as { config: { codebookSize: number } };
    manifest.config.codebookSize = 32;
    await writeFile(path, JSON.stringify(manifest));
    const { code, stderr } = await tessera(
      "generate",
      "--tokenizer",
      world.tokenizer,
      "--prior",
      copy,
      "--out",
      temporary("out"),
    );
    expect(code).toBe(4);
    expect(stderr).toMatch(/32.*16/);
  });
});

describe("numbers that explode (5)", () => {
  it("a loss that is not finite stops the run, names step and images, and publishes nothing", async () => {
    const out = temporary("out");
    const { code, stderr } = await trainTokenizer(world.images, out, "--learning-rate", "1e30", "--steps", 40);
    expect(code).toBe(5);
    expect(stderr).toMatch(/step \d+/);
    expect(stderr).toContain(".png");
    expect(existsSync(out)).toBe(false);
  });

  it("a prior that answers NaN is stopped while sampling", async () => {
    const copy = temporary("nan");
    await cp(world.masked, copy, { recursive: true });
    const graph = decodeModel(await readFile(join(copy, "prior.onnx")), "prior.onnx");
    const logits = graph.outputs.find(({ name }) => name === "logits");
    const last = graph.nodes.findIndex(({ outputs }) => outputs.includes("logits"));
    const broken = graph.nodes.map((node, i) => (i === last ? { ...node, outputs: ["before"] } : node));
    const zero = { name: "zero", type: "float32", shape: [], data: new Uint8Array(4) } as const;
    broken.push(
      { op: "Mul", name: "to-zero", inputs: ["before", "zero"], outputs: ["zeros"] },
      { op: "Div", name: "to-nan", inputs: ["zeros", "zero"], outputs: ["logits"] },
    );
    expect(logits).toBeDefined();
    const bytes = encodeModel({ ...graph, nodes: broken, initializers: [...graph.initializers, zero] });
    await writeFile(join(copy, "prior.onnx"), bytes);
    const path = join(copy, "manifest.json");
    const manifest = JSON.parse(await readFile(path, "utf8")) as {
      files: Record<string, { sha256: string; bytes: number }>;
    };
    manifest.files["prior.onnx"] = { sha256: sha256Hex(bytes), bytes: bytes.length };
    await writeFile(path, JSON.stringify(manifest));
    const { code, stderr } = await tessera(
      "generate",
      "--tokenizer",
      world.tokenizer,
      "--prior",
      copy,
      "--out",
      temporary("out"),
    );
    expect(code).toBe(5);
    expect(stderr).toContain("image 0");
  });
});
