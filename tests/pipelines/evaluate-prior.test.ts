/** `tessera evaluate-prior`: one row each, of the figures that its parts give; and what it refuses. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { createTokenWriter, openTokens } from "../../shared/token-file/index.ts";
import { decodeRecord, loadTokenizer, openFolderSource } from "../../stage1-tokenizer/index.ts";
import {
  COUNTING_OBJECTIVES,
  countPrior,
  loadPrior,
  publishCountingPrior,
  trainCountingPrior,
} from "../../stage2-prior/index.ts";
import { publishPrior } from "../../stage2-prior/export.ts";
import { drawFolder, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { channelMeans, replaceFeatures, withoutFeatures } from "../stage1-tokenizer/extractors.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";
import { untrained } from "../stage2-prior/tiny-artifact.ts";
import { tinyPrior } from "../stage2-prior/tiny-config.ts";

const temporary = useTemporaryDirectory();
const [K, L, VALUES] = [8, 16, 8 * 8 * 3];
const COUNT = 6;
interface Row extends Readonly<Record<string, unknown>> {
  readonly name: string;
}
let images: string;
let tokenizer: string;
let training: string;
let heldOut: string;
let causal: string;
let masked: string;

async function publishTiny(overrides: Readonly<Record<string, unknown>>, fingerprint: string): Promise<string> {
  const directory = temporary(String(overrides["objective"]));
  const config = tinyPrior({ codebookSize: K, layers: 1, classes: 0, ...overrides });
  await publishPrior({ ...untrained(config), fingerprint, classes: [] }, { directory });
  return directory;
}

const fingerprintOf = async (directory: string): Promise<string> => (await openTokens(directory)).header.fingerprint;

beforeAll(async () => {
  images = await drawFolder(temporary("images"), ["east", "west"], 12);
  tokenizer = replaceFeatures(await publishUntrained(tinyConfig({}), temporary("tokenizer")), channelMeans(8, 8));
  [training, heldOut] = [temporary("training"), temporary("held-out")];
  const tokenize = ["tokenize", "--tokenizer", tokenizer, "--source", images, "--held-out", 0.4, "--threads", 1];
  expect(await tessera(...tokenize, "--split", "training", "--out", training)).toMatchObject({ code: 0 });
  expect(await tessera(...tokenize, "--split", "held-out", "--out", heldOut)).toMatchObject({ code: 0 });
  const fingerprint = await fingerprintOf(training);
  causal = await publishTiny({ objective: "causal" }, fingerprint);
  masked = await publishTiny({ objective: "masked" }, fingerprint);
});

const evaluate = (...words: readonly (string | number)[]): Promise<Outcome> =>
  tessera("evaluate-prior", "--tokenizer", tokenizer, "--count", COUNT, "--threads", 1, ...words);
const sets = (): string[] => ["--tokens", training, "--held-out", heldOut];

async function rowsOf(...words: readonly (string | number)[]): Promise<{ json: Outcome["json"]; rows: Row[] }> {
  const { code, json, stderr } = await evaluate(...sets(), "--out", temporary("out"), ...words, "--json");
  expect(code, stderr).toBe(0);
  return { json, rows: json?.["priors"] as Row[] };
}
const named = (rows: readonly Row[], name: string): Row => rows.find((row) => row.name === name) ?? { name: "missing" };

/** By the artefact's graph on the held-out tokens; the tiny ones' manifests say 2.5, whatever they are. */
async function bitsOf(directory: string, relabel: (label: number) => number = (label) => label): Promise<number> {
  const { grid: tokens, labels } = await (await openTokens(heldOut)).load();
  const prior = await loadPrior(directory, { threads: 1 });
  const bits = await prior.bitsPerToken({ tokens, labels: labels.map(relabel) });
  await prior.dispose();
  return bits;
}

describe("the table", () => {
  test("has held-out images, every baseline and every prior, with the figures of its parts", async () => {
    const { json, rows } = await rowsOf("--priors", `${causal},${masked}`);
    const names = [causal, masked].map((path) => path.split("/").at(-1));
    expect(rows.map(({ name }) => name)).toEqual(["held-out", "uniform", "unigram", "markov2d", ...names]);

    const [train, held] = await Promise.all(
      [training, heldOut].map(async (set) => (await (await openTokens(set)).load()).grid),
    );
    if (train === undefined || held === undefined) throw new Error("no tokens");
    for (const name of COUNTING_OBJECTIVES) {
      const tokenizer = { codebookSize: K, fingerprint: "" };
      const { bitsPerToken } = countPrior({ objective: name, training: train, heldOut: held, tokenizer });
      expect(named(rows, name)).toMatchObject({ bitsPerToken, measure: "exact", parameters: null, steps: L });
      expect(named(rows, name)["bitsPerDim"]).toBeCloseTo((bitsPerToken * L) / VALUES, 12);
    }
    expect(rows[4]).toMatchObject({ bitsPerToken: await bitsOf(causal), measure: "exact", steps: L, samples: COUNT });
    expect(rows[5]).toMatchObject({ bitsPerToken: await bitsOf(masked), measure: "masked", samples: COUNT });
    expect(rows[5]?.["steps"]).toBeGreaterThan(1);
    expect(rows[5]?.["steps"]).toBeLessThanOrEqual(12);
    expect(rows[4]?.["parameters"]).toBeGreaterThan(1000);
    for (const row of rows) {
      for (const figure of ["tokenDivergence", "pairDivergence", "largestShare"]) {
        expect(row[figure], `${row.name} ${figure}`).toBeGreaterThanOrEqual(0);
        expect(row[figure], `${row.name} ${figure}`).toBeLessThanOrEqual(1);
      }
      expect(row["frechetTraining"]).toBeGreaterThanOrEqual(0);
    }
    expect(json).toMatchObject({ features: "encoder features", featureSize: 3, codeLengths: [] });
    expect(rows[0]).toMatchObject({ frechetHeldOut: null, precision: null, bitsPerToken: null });
    const sheets = json?.["sheets"] as Record<string, string>;
    expect(existsSync(sheets["samples"] ?? "") && existsSync(sheets["memorised"] ?? "")).toBe(true);
  });

  test("has a published counting prior once, with the figures of the one counted in memory", async () => {
    const counted = await trainCountingPrior({
      objective: "unigram",
      training: await openTokens(training),
      heldOut: await openTokens(heldOut),
    });
    const directory = temporary("counted");
    await publishCountingPrior(counted, { directory });
    const [{ rows }, { rows: inMemory }] = [await rowsOf("--priors", directory), await rowsOf()];
    const name = directory.split("/").at(-1) ?? "";
    expect(rows.map((row) => row.name)).toEqual(["held-out", "uniform", "markov2d", name]);
    const timeless = ({ secondsPerImage: _time, ...row }: Row) => row;
    expect(timeless(named(rows, name))).toEqual({ ...timeless(named(inMemory, "unigram")), name });
  });

  test("in int8 says what that costs each learnt prior, in bits a token and in time", async () => {
    const counted = await trainCountingPrior({
      objective: "unigram",
      training: await openTokens(training),
      heldOut: await openTokens(heldOut),
    });
    const directory = temporary("counted");
    await publishCountingPrior(counted, { directory });
    const { rows } = await rowsOf("--no-baselines", "--priors", `${causal},${directory}`, "--dtype", "int8");
    const float32BitsPerToken = await bitsOf(causal);
    const bitsPerToken = rows[1]?.["bitsPerToken"] as number;
    expect(bitsPerToken).not.toBe(float32BitsPerToken);
    expect(bitsPerToken).toBeCloseTo(float32BitsPerToken, 1);
    const addedBitsPerToken = bitsPerToken - float32BitsPerToken;
    const timeRatio: unknown = expect.any(Number);
    expect(rows[1]).toMatchObject({ dtype: "int8", int8Cost: { float32BitsPerToken, addedBitsPerToken, timeRatio } });
    expect(rows[2]).not.toHaveProperty("dtype");
    expect(rows[2]).not.toHaveProperty("int8Cost");
    const plain = await rowsOf("--no-baselines", "--priors", causal);
    expect(plain.rows[1]).toMatchObject({ dtype: "float32", bitsPerToken: float32BitsPerToken });
    expect(plain.rows[1]).not.toHaveProperty("int8Cost");
  });

  test("in int8 prints the cost; without a learnt prior it is refused (2)", async () => {
    const words = [...sets(), "--out", temporary("out"), "--no-baselines", "--dtype", "int8"];
    const { stdout } = await evaluate(...words, "--priors", masked);
    const float32 = (await bitsOf(masked)).toFixed(4);
    const line = stdout.split("\n").find((own) => own.includes(` ${float32} `)) ?? "";
    expect(stdout).toContain("cost of int8");
    expect(line).toMatch(/[+-]0\.\d{4}/);
    const counting = await evaluate(...sets(), "--out", temporary("out"), "--dtype", "int8");
    expect(counting).toMatchObject({ code: 2, stdout: "" });
    expect(counting.stderr).toContain("int8");
  });

  test("in int8 a prior that cannot compute in it is refused (2) before anything is judged", async () => {
    const narrow = await publishTiny({ objective: "causal", width: 8 }, await fingerprintOf(training));
    const words = [...sets(), "--priors", `${masked},${narrow}`, "--out", temporary("out"), "--dtype", "int8"];
    const { code, stdout, stderr } = await evaluate(...words);
    expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("nothing to quantize");
    expect(stderr).not.toContain("judging");
  });

  test("measures a conditional prior under the labels of the held-out images", async () => {
    const fingerprint = await fingerprintOf(training);
    const config = tinyPrior({ codebookSize: K, layers: 1, classes: 2, objective: "pixelcnn" });
    const directory = temporary("conditional");
    await publishPrior({ ...untrained(config), fingerprint, classes: ["east", "west"] }, { directory });
    const { rows } = await rowsOf("--no-baselines", "--priors", directory);
    expect(rows[1]).toMatchObject({ bitsPerToken: await bitsOf(directory), measure: "exact" });
    expect(rows[1]?.["bitsPerToken"]).not.toBe(await bitsOf(directory, () => -1));
    const other = temporary("other-classes");
    await publishPrior({ ...untrained(config), fingerprint, classes: ["west", "east"] }, { directory: other });
    const { code, stderr } = await evaluate(...sets(), "--priors", other, "--out", temporary("out"));
    expect(code, stderr).toBe(4);
    expect(stderr).toContain("west, east");
  });

  test("is the same again from the same seed, but for the time it took", async () => {
    const [first, second, other] = [
      await rowsOf("--seed", 3, "--priors", masked),
      await rowsOf("--seed", 3, "--priors", masked),
      await rowsOf("--seed", 4, "--priors", masked),
    ].map(({ rows }) => rows.map(({ secondsPerImage: _, ...row }) => row));
    expect(first).toEqual(second);
    expect(first).not.toEqual(other);
  });

  test("asks every prior to draw as told, where it can; what none can take is refused", async () => {
    const both = ["--priors", `${causal},${masked}`];
    const names = both[1]?.split(",").map((path) => path.split("/").at(-1) ?? "") ?? [];
    const [plain, greedy] = [await rowsOf(...both), await rowsOf(...both, "--temperature", 0, "--steps", 3)];
    const [raster, steps] = names.map((name) => named(greedy.rows, name));
    expect(raster).toMatchObject({ steps: L, bitsPerToken: named(plain.rows, names[0] ?? "")["bitsPerToken"] });
    expect(steps).toMatchObject({ steps: 3 });
    expect(raster?.["tokenDivergence"]).not.toBe(named(plain.rows, names[0] ?? "")["tokenDivergence"]);
    const refused = await evaluate(...sets(), "--priors", causal, "--sampler", "halton", "--out", temporary("out"));
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain("raster");
    const diffusion = await publishTiny({ objective: "diffusion" }, await fingerprintOf(training));
    const noisy = await rowsOf("--priors", `${masked},${diffusion}`, "--choice-temperature", 0, "--no-baselines");
    expect(noisy.rows).toHaveLength(3);
    const alone = ["--priors", diffusion, "--choice-temperature", 0, "--out", temporary("out")];
    expect(await evaluate(...sets(), ...alone)).toMatchObject({ code: 2 });
    const tooMany = await evaluate(...sets(), "--priors", masked, "--steps", L + 1, "--out", temporary("out"));
    expect(tooMany).toMatchObject({ code: 2, stdout: "" });
  });

  test("without baselines holds none; people read heads, measures and what the features were", async () => {
    const { code, stdout } = await evaluate(...sets(), "--out", temporary("out"), "--no-baselines", "--priors", masked);
    expect(code).toBe(0);
    for (const part of [
      "JS pairs",
      `${(await bitsOf(masked)).toFixed(3)} masked`,
      "distance ratio",
      "encoder features (3)",
      "copies",
    ]) {
      expect(stdout).toContain(part);
    }
    expect(stdout).not.toContain("unigram");
  });

  test("of training images held out again: all are copies, with nothing between them and the training set", async () => {
    const words = ["--tokens", training, "--held-out", training, "--count", 64, "--threads", 1, "--json"];
    const out = temporary("out");
    const { json } = await tessera("evaluate-prior", "--tokenizer", tokenizer, ...words, "--out", out);
    const rows = json?.["priors"] as Row[];
    const { count } = await openTokens(training);
    expect(rows[0]).toMatchObject({ samples: count, copies: count, largestShare: 1, tokenDivergence: 0, pairDivergence: 0 }); // prettier-ignore
    expect(rows[0]?.["frechetTraining"]).toBeCloseTo(0, 3);
    expect(json?.["references"]).toEqual({ training: count, heldOut: count });
  });

  test("has no figures on features where there are none, and warns", async () => {
    const plain = withoutFeatures(await publishUntrained(tinyConfig({}), temporary("plain")));
    const words = [...sets(), "--out", temporary("out"), "--json"];
    const { code, json, stderr } = await tessera("evaluate-prior", "--tokenizer", plain, "--count", 2, ...words);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/no figures on features/);
    expect((json?.["priors"] as Row[])[1]).toMatchObject({ frechetTraining: null, recall: null, distanceRatio: null });
  });
});

describe("with the images themselves", () => {
  test("codes are set beside PNG and WebP of the same pixels, and lossy ones say what they lose", async () => {
    const { json } = await rowsOf("--source", images, "--priors", `${causal},${masked}`);
    const codes = json?.["codeLengths"] as Row[];
    expect(codes.map(({ name }) => name)).not.toContain(masked.split("/").at(-1));
    expect(codes.slice(-2)).toMatchObject([
      { name: "PNG", lossless: true, psnr: null },
      { name: "WebP, lossless", lossless: true, psnr: null },
    ]);
    expect(codes[0]).toMatchObject({ name: "uniform", lossless: false, bitsPerDim: (Math.log2(K) * L) / VALUES });
    expect(codes[0]?.["psnr"]).toBeGreaterThan(0);

    const { keys } = await (await openTokens(heldOut)).load();
    const loaded = await loadTokenizer(tokenizer, { threads: 1 });
    await loaded.dispose();
    let bytes = 0;
    for await (const record of (await openFolderSource(images)).records()) {
      if (!keys.includes(record.key)) continue;
      const decoded = await decodeRecord(record, loaded.preprocessing);
      const raw = { height: 8, width: 8, channels: 3 } as const;
      if (decoded.ok) bytes += (await sharp(decoded.pixels, { raw }).png({ compressionLevel: 9, adaptiveFiltering: true }).toBuffer()).length; // prettier-ignore
    }
    expect(codes.at(-2)?.["bitsPerDim"]).toBeCloseTo((8 * bytes) / (keys.length * VALUES), 12);
  });

  test("of other images are a mismatch (4)", async () => {
    const other = await drawFolder(temporary("other"), ["north"], 3);
    const { code, stderr } = await evaluate(...sets(), "--source", other, "--out", temporary("out"));
    expect(code, stderr).toBe(4);
    expect(stderr).toContain("none of the images");
  });
});

describe("is refused", () => {
  test("with neither prior nor baseline (2)", async () => {
    const { code, stderr } = await evaluate(...sets(), "--out", temporary("out"), "--no-baselines");
    expect(code).toBe(2);
    expect(stderr).toContain("nothing to judge");
  });

  test.each([
    ["another tokenizer", { objective: "causal" }, "b".repeat(64)],
    ["another grid", { objective: "masked", grid: [2, 4] }, undefined],
    ["another K", { objective: "masked", codebookSize: 9 }, undefined],
  ])("a prior of %s (4)", async (_what, overrides, fingerprint) => {
    const prior = await publishTiny(overrides, fingerprint ?? (await fingerprintOf(training)));
    const { code, stderr } = await evaluate(...sets(), "--priors", prior, "--out", temporary("out"));
    expect(code, stderr).toBe(4);
    expect(stderr).toContain(prior);
  });

  test.each([
    ["of another tokenizer", 4, { fingerprint: "c".repeat(64) }],
    ["of another grid", 4, { grid: [4, 2] as const }],
    ["of another K", 4, { codebookSize: 9 }],
    ["that is empty", 3, {}],
  ])("a token set %s (%i)", async (_what, expected, change) => {
    const directory = temporary("tokens");
    const { header } = await openTokens(training);
    await (await createTokenWriter({ directory, header: { ...header, ...change } })).finish();
    for (const words of [["--tokens", directory, "--held-out", heldOut], ["--tokens", training, "--held-out", directory]]) {
      const { code, stderr } = await evaluate(...words, "--out", temporary("out"));
      expect(code, stderr).toBe(expected);
      expect(stderr).toContain(directory);
    }
  }); // prettier-ignore

  test("a prior that is not there (3)", async () => {
    const { code } = await evaluate(...sets(), "--priors", join(causal, "nowhere"), "--out", temporary("out"));
    expect(code).toBe(3);
  });
});
