/** Pictures edited with priors: what is kept is kept exactly, by every prior and through the command line. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";

import { complete, type Gap } from "../../pipelines/complete.ts";
import { feather, rectangleMask, tokensUnder, type Rectangle } from "../../pipelines/edit/mask.ts";
import { lastPositions, randomPositions, variations } from "../../pipelines/variations.ts";
import { Rng } from "../../shared/rng.ts";
import { UNKNOWN } from "../../shared/tokens.ts";
import { createReporter } from "../../shared/train/reporter.ts";
import { decodeImage, loadTokenizer, openPicture, type Picture, type Tokenizer } from "../../stage1-tokenizer/index.ts";
import { publishPrior } from "../../stage2-prior/export.ts";
import { drawsInRasterOrder, loadPrior, type Prior } from "../../stage2-prior/index.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";
import { untrained } from "../stage2-prior/tiny-artifact.ts";
import { tinyPrior } from "../stage2-prior/tiny-config.ts";
import { drawPng, SIDE, tessera, type Outcome } from "./tiny.ts";

const temporary = useTemporaryDirectory();
const [PATCH, GRID, COUNT] = [2, 8, 3];
const OBJECTIVES = ["masked", "diffusion", "causal"] as const;
type Objective = (typeof OBJECTIVES)[number];
const HOLE: Rectangle = { x: 6, y: 5, width: 3, height: 2 };

let tokenizer: Tokenizer;
let priors: Readonly<Record<Objective, Prior>>;
let picture: Picture;
let original: Uint8Array; // [16, 16, 3]

/** A file of this name in a folder of its own. */
async function write(name: string, bytes: Uint8Array | string): Promise<string> {
  const folder = temporary("files");
  await mkdir(folder);
  await writeFile(join(folder, name), bytes);
  return join(folder, name);
}

async function openPrior(objective: Objective, fingerprint: string): Promise<Prior> {
  const config = tinyPrior({ objective, codebookSize: 8, grid: [GRID, GRID], layers: 1 });
  const directory = temporary(`${objective}-${fingerprint.slice(0, 4)}`);
  await publishPrior({ ...untrained(config), fingerprint }, { directory });
  return loadPrior(directory, { threads: 1 });
}

beforeAll(async () => {
  tokenizer = await loadTokenizer(await publishUntrained(tinyConfig({ imageSize: SIDE }), temporary("tokenizer")), {
    threads: 1,
  });
  const { fingerprint } = tokenizer.spec;
  const [masked, diffusion, causal] = [
    await openPrior("masked", fingerprint),
    await openPrior("diffusion", fingerprint),
    await openPrior("causal", fingerprint),
  ];
  priors = { masked, diffusion, causal };
  picture = await openPicture(await write("photo.png", await drawPng(7)));
  original = await decodeImage(picture.bytes, tokenizer.preprocessing, "photo");
});

const silent = () => {
  const lines: string[] = [];
  return { lines, reporter: createReporter({ stream: { write: (text) => lines.push(text) }, quiet: true }) };
};
const inside = (hole = HOLE): Gap => ({
  kind: "inside",
  mask: rectangleMask(hole, { height: SIDE, width: SIDE }),
  where: "hole",
});
const completed = (objective: Objective, gap: Gap, more: { className?: string; count?: number } = {}) => {
  const { lines, reporter } = silent();
  const { className, count = COUNT } = more;
  const decoding = { temperature: 1, className };
  const made = complete({ tokenizer, prior: priors[objective], decoding, picture, gap, count, rng: Rng.fromSeed(1), reporter }); // prettier-ignore
  return made.then((result) => ({ ...result, warnings: lines.join("") }));
};

describe.each(OBJECTIVES)("inpainting with the %s prior", (objective) => {
  test("every token outside mask and ring is that of the original", async () => {
    const encoded = await tokenizer.encode(original);
    const { windows, tiles } = await completed(objective, inside());
    const open = tokensUnder(rectangleMask(HOLE, { height: SIDE, width: SIDE }), [GRID, GRID]);
    expect([windows.length, tiles.length]).toEqual([1, COUNT]);
    expect(open.cells.reduce((sum, cell) => sum + cell, 0)).toBe(4 * 4); // 2×2 patches and the ring
    windows[0]?.tokens.tokens.forEach((token, i) => {
      const at = i % (GRID * GRID);
      expect(windows[0]?.known.tokens[i]).toBe(open.cells[at] === 1 ? UNKNOWN : encoded.tokens[at]);
      if (open.cells[at] === 0) expect(token).toBe(encoded.tokens[at]);
    });
  });

  test("pixels are decoded ones in the hole, the original's beyond a patch, and a blend between", async () => {
    const { windows, tiles } = await completed(objective, inside());
    const grid = windows[0]?.tokens;
    if (grid === undefined) throw new Error("no window");
    const decoded = await tokenizer.decode(grid);
    const opacity = feather(rectangleMask(HOLE, { height: SIDE, width: SIDE }), PATCH);
    for (const [i, tile] of tiles.entries()) {
      tile.pixels.forEach((value, at) => {
        const [old, drawn] = [original[at] ?? 0, decoded[i * original.length + at] ?? 0];
        const share = opacity[Math.floor(at / 3)] ?? 0;
        expect(value).toBe(Math.round(old + share * (drawn - old)));
      });
    }
    const untouched = opacity.filter((share) => share === 0).length;
    expect(untouched).toBe(SIDE * SIDE - 5 * 4);
  });

  test("completions differ from each other, do not depend on their number, and on a class they do", async () => {
    const three = await completed(objective, inside());
    expect(new Set(three.tiles.map(({ pixels }) => pixels.join())).size).toBeGreaterThan(1);
    const two = await completed(objective, inside(), { count: 2 });
    expect(two.tiles).toEqual(three.tiles.slice(0, 2));
    const [x, y] = [await completed(objective, inside(), { className: "x" }), await completed(objective, inside(), { className: "y" })]; // prettier-ignore
    expect(x.windows[0]?.known).toEqual(y.windows[0]?.known);
    expect(x.windows[0]?.tokens).not.toEqual(y.windows[0]?.tokens);
  });

  test("everything may be marked: that is to generate", async () => {
    const { windows } = await completed(objective, inside({ x: 0, y: 0, width: SIDE, height: SIDE }));
    const rng = Rng.fromSeed(1).fork("window", 0);
    expect(windows[0]?.known.tokens.every((token) => token === UNKNOWN)).toBe(true);
    expect(windows[0]?.tokens).toEqual(await priors[objective].sample({ count: COUNT, rng }));
  });

  test("outpainting gives the larger picture and leaves its interior untouched", async () => {
    const margins = { left: 6, right: 5, top: 0, bottom: 16 };
    const { tiles, windows, masked } = await completed(objective, { kind: "around", margins });
    const [height, width] = [SIDE + 16, SIDE + 11];
    expect(masked).toMatchObject({ height, width });
    expect(windows.length).toBeGreaterThan(1);
    for (const tile of tiles) {
      expect(tile).toMatchObject({ height, width });
      for (let y = 0; y < SIDE - PATCH; y++) {
        for (let x = PATCH; x < SIDE - PATCH; x++) {
          const [at, from] = [(y * width + 6 + x) * 3, (y * SIDE + x) * 3];
          expect(tile.pixels.subarray(at, at + 3)).toEqual(original.subarray(from, from + 3));
        }
      }
    }
    expect(new Set(tiles.map(({ pixels }) => pixels.join())).size).toBe(COUNT);
  });

  test("variations keep the tokens that were not opened", async () => {
    const encoded = await tokenizer.encode(original);
    const options = { tokenizer, prior: priors[objective], decoding: {}, picture, rng: Rng.fromSeed(2) };
    const { tokens, known, tiles } = await variations({ ...options, count: 4, strength: 0.25, ...silent() });
    expect(tiles).toHaveLength(4);
    const length = GRID * GRID;
    const opened = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const own = known.tokens.subarray(i * length, (i + 1) * length);
      const open = [...own.keys()].filter((at) => own[at] === UNKNOWN);
      expect(open).toHaveLength(length / 4);
      opened.add(open.join());
      own.forEach((token, at) => {
        if (token === UNKNOWN) return;
        expect([token, tokens.tokens[i * length + at]]).toEqual([encoded.tokens[at], encoded.tokens[at]]);
      });
    }
    expect(opened.size).toBe(objective === "causal" ? 1 : 4);
    const free = await variations({ ...options, count: 2, strength: 1, ...silent() });
    expect(free.tokens).toEqual(await priors[objective].sample({ count: 2, rng: options.rng.fork("draw") }));
  });
});

test("positions to open: the last, or any, each once, and at least one", () => {
  expect([...lastPositions(10, { strength: 0.3 })]).toEqual([7, 8, 9]);
  expect([...lastPositions(10, { strength: 0.01 })]).toEqual([9]);
  const drawn = randomPositions(10, { strength: 0.5, rng: Rng.fromSeed(1) });
  expect(new Set(drawn).size).toBe(5);
  expect([...randomPositions(10, { strength: 1, rng: Rng.fromSeed(1) })].sort((a, b) => a - b)).toEqual([...Array(10).keys()]); // prettier-ignore
});

test("a prior of raster order warns of what it cannot look at, and only where there is something", async () => {
  expect(OBJECTIVES.filter((objective) => drawsInRasterOrder(priors[objective].spec))).toEqual(["causal"]);
  expect((await completed("causal", inside())).warnings).toMatch(/right and below/);
  expect((await completed("masked", inside())).warnings).toBe("");
  const bottom = inside({ x: 0, y: 12, width: SIDE, height: 4 });
  expect((await completed("causal", bottom)).warnings).toBe("");
});

test("an interrupted completion ends with the signal's reason, in the middle of it too", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const common = { tokenizer, prior: priors.masked, decoding: {}, picture, count: 1, rng: Rng.fromSeed(1) };
  const gap: Gap = { kind: "around", margins: { left: 16, right: 16, top: 0, bottom: 0 } };
  let windows = 0;
  const reporter = { ...silent().reporter, start: () => (++windows === 2 ? controller.abort(reason) : undefined) };
  await expect(complete({ ...common, gap, reporter, signal: controller.signal })).rejects.toBe(reason);
  expect(windows).toBe(2);
});

describe("the commands", () => {
  const run = (command: string, objective: Objective, ...words: readonly (string | number)[]): Promise<Outcome> =>
    tessera(command, picture.path, "--tokenizer", tokenizer.directory, "--prior", priors[objective].directory, "--threads", 1, ...words); // prettier-ignore

  const maskFile = async (name: string, value: number, side = SIDE): Promise<string> => {
    const pixels = new Uint8Array(side * side);
    for (let y = 4; y < 8; y++) pixels.fill(value, y * side + 4, y * side + 8);
    const image = sharp(pixels, { raw: { width: side, height: side, channels: 1 } });
    return write(name, await image.png().toBuffer());
  };

  test.each([
    ["complete", ["--region", "4,4,6,6", "--steps", 4]],
    ["complete", ["--outpaint", "right=8", "--steps", 4]],
    ["variations", ["--strength", 0.4, "--class", "z", "--guidance", 2]],
  ])("%s %j: files, sheet and film; one seed, the same bytes, another seed, others", async (command, words) => {
    const outs = [temporary("out"), temporary("out"), temporary("out")];
    for (const [i, out] of outs.entries()) {
      const made = await run(command, "masked", ...words, "--count", 2, "--film", "--seed", i === 2 ? 4 : 3, "--out", out, "--json"); // prettier-ignore
      expect(made.code, made.stderr).toBe(0);
      expect(made.json).toMatchObject({ path: out, count: 2, sheet: expect.stringMatching(/sheet\.png$/) as string });
    }
    const names = (await readdir(outs[0] ?? "")).sort();
    expect(names).toHaveLength(4);
    expect(names.every((name) => /^photo-(completed|varied)-seed3-(0000[01]\.png|sheet\.png|film\.webp)$/.test(name))).toBe(true); // prettier-ignore
    const read = (i: number, name: string) => readFile(join(outs[i] ?? "", name));
    for (const name of names) {
      expect((await read(0, name)).equals(await read(1, name)), name).toBe(true);
      expect((await read(0, name)).equals(await read(2, name.replace("seed3", "seed4"))), name).toBe(false);
    }
    const width = words[1] === "right=8" ? SIDE + 8 : SIDE;
    expect(await sharp(await read(0, names[0] ?? "")).metadata()).toMatchObject({ width, height: SIDE });
  });

  test.each([
    ["complete", ["--region", "4,4,6,6"]],
    ["variations", []],
  ])("%s with the prior in int8 says so", async (command, words) => {
    const out = temporary("out");
    const made = await run(command, "masked", ...words, "--dtype", "int8", "--count", 1, "--out", out, "--json");
    expect(made.code, made.stderr).toBe(0);
    expect(made.json).toMatchObject({ path: out, dtype: "int8" });
  });

  test("a mask marks what it is bright over, as the same region does", async () => {
    const outs = [temporary("out"), temporary("out")];
    const mask = await maskFile("mask.png", 255);
    expect((await run("complete", "diffusion", "--mask", mask, "--count", 1, "--out", outs[0] ?? "")).code).toBe(0);
    expect((await run("complete", "diffusion", "--region", "4,4,4,4", "--count", 1, "--out", outs[1] ?? "")).code).toBe(0); // prettier-ignore
    const [first, second] = await Promise.all(
      outs.map((out) => readFile(join(out, "photo-completed-seed0-00000.png"))),
    );
    expect(first).toEqual(second);
  });

  test.each([
    ["no way", 2, [], /exactly one of --mask, --region, --outpaint, got none/],
    ["two ways", 2, ["--region", "1,1,2,2", "--outpaint", "left=2"], /got --region, --outpaint/],
    ["a region outside", 2, ["--region", "12,0,5,5"], /--region.*≤ 16/],
    ["a region that is none", 2, ["--region", "1,2,3"], /x,y,width,height/],
    ["margins that are none", 2, ["--outpaint", "up=4"], /left, right, top, bottom/],
    ["margins too wide", 2, ["--outpaint", "left=17"], /0 … 16 pixels/],
    ["an unknown class", 2, ["--region", "1,1,2,2", "--class", "w"], /no class "w"/],
    ["guidance without a class", 2, ["--region", "1,1,2,2", "--guidance", 2], /class/],
    ["a missing mask", 3, ["--mask", "nowhere.png"], /nowhere\.png/],
  ] as const)("complete with %s ends with %d", async (_, expected, words, sentence) => {
    const { code, stderr } = await run("complete", "masked", ...words, "--out", temporary("out"));
    expect(stderr).toMatch(sentence);
    expect(code).toBe(expected);
  });

  test("a mask of another size, one that marks nothing, and a file that is no image are bad input (3)", async () => {
    const wrong = await run("complete", "masked", "--mask", await maskFile("large.png", 255, 20), "--out", temporary("out")); // prettier-ignore
    expect([wrong.code, wrong.stderr]).toEqual([3, expect.stringMatching(/16×16 pixels, got 20×20/)]);
    const empty = await run("complete", "masked", "--mask", await maskFile("dark.png", 100), "--out", temporary("out"));
    expect([empty.code, empty.stderr]).toEqual([3, expect.stringMatching(/nothing is marked.*bright is redrawn/)]);
    const file = await write("text.png", "not an image");
    const text = await run("complete", "masked", "--mask", file, "--out", temporary("out"));
    expect(text.code).toBe(3);
  });

  test.each(["complete", "variations"])("%s of a missing or undecodable picture is bad input (3)", async (command) => {
    const cut = await write("cut.png", (await drawPng(1)).subarray(0, 60));
    for (const image of [temporary("missing.png"), cut]) {
      const words = ["--tokenizer", tokenizer.directory, "--prior", priors.masked.directory, "--out", temporary("out")];
      const where = command === "complete" ? ["--region", "1,1,2,2"] : [];
      const { code, stderr } = await tessera(command, image, ...words, ...where);
      expect([code, stderr]).toEqual([3, expect.stringContaining(image)]);
    }
  });

  test.each(["complete", "variations"])("%s refuses another tokenizer's prior (4)", async (command) => {
    const other = await openPrior("masked", "b".repeat(64));
    const where = command === "complete" ? ["--region", "1,1,2,2"] : [];
    const words = ["--tokenizer", tokenizer.directory, "--prior", other.directory, "--out", temporary("out")];
    const { code, stderr } = await tessera(command, picture.path, ...words, ...where);
    expect([code, stderr]).toEqual([4, expect.stringMatching(/another tokenizer/)]);
  });

  test.each([0, 1.5])("variations of strength %d are a usage error (2)", async (strength) => {
    expect((await run("variations", "masked", "--strength", strength)).code).toBe(2);
  });
});
