/** `tessera import-prior`: from an ONNX file to images, and what it refuses before anything is read or written. */
import { existsSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { openArtifact } from "../../shared/artifact.ts";
import { createTokenWriter, openTokens } from "../../shared/token-file/index.ts";
import { drawFolder, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";
import { exported } from "../stage2-prior/foreign-graphs.ts";

const temporary = useTemporaryDirectory();
const K = 8;
let tokenizer: string;
let tokens: string;
let masked: string;
let causal: string;

beforeAll(async () => {
  const images = await drawFolder(temporary("images"), ["east", "west"], 3);
  tokenizer = await publishUntrained(tinyConfig({ codebookSize: K }), temporary("tokenizer"));
  tokens = temporary("tokens");
  const tokenize = ["--tokenizer", tokenizer, "--source", images, "--out", tokens, "--threads", 1];
  expect(await tessera("tokenize", ...tokenize)).toMatchObject({ code: 0 });
  [masked, causal] = [temporary("masked.onnx"), temporary("causal.onnx")];
  writeFileSync(masked, exported("masked", { codebookSize: K, classes: 2 }));
  writeFileSync(causal, exported("causal", { codebookSize: K, classes: 0 }));
});

const importing = (file: string, ...words: readonly (string | number)[]): Promise<Outcome> =>
  tessera("import-prior", file, "--tokenizer", tokenizer, "--threads", 1, ...words);

test("a masked prior is imported, measured, sampled, judged and inspected", async () => {
  const prior = temporary("prior");
  const words = ["--objective", "masked", "--classes-of", tokens, "--mask-schedule", "arccos", "--held-out", tokens];
  const { code, json, stderr } = await importing(masked, ...words, "--out", prior, "--json");
  expect(code, stderr).toBe(0);
  expect(json).toMatchObject({ path: prior, objective: "masked", classes: 2, measure: "masked" });
  const { manifest } = await openArtifact(prior);
  expect(manifest.config).toMatchObject({ classes: ["east", "west"], maskSchedule: "arccos" });

  const out = temporary("made");
  const made = await tessera("generate", "--tokenizer", tokenizer, "--prior", prior, "--class", "west", "--count", 2, "--out", out, "--json"); // prettier-ignore
  expect(made.code, made.stderr).toBe(0);
  expect(existsSync(`${out}/seed0-00001.png`)).toBe(true);

  const evaluate = [
    "--tokenizer",
    tokenizer,
    "--priors",
    prior,
    "--tokens",
    tokens,
    "--held-out",
    tokens,
    "--count",
    2,
  ];
  const judged = await tessera("evaluate-prior", ...evaluate, "--no-baselines", "--out", temporary("judged"), "--json");
  expect(judged.code, judged.stderr).toBe(0);
  const rows = judged.json?.["priors"] as Readonly<Record<string, unknown>>[];
  expect(rows[1]).toMatchObject({ bitsPerToken: json?.["bitsPerToken"], measure: "masked", parameters: null });

  const inspected = await tessera("inspect", prior, "--json");
  expect(inspected.json).toMatchObject({ verified: true, provenance: { from: { file: masked.split("/").at(-1), sha256: json?.["sha256"] } } }); // prettier-ignore
});

test("an unconditional causal one needs no more than objective and tokenizer; people read what was not measured", async () => {
  const prior = temporary("prior");
  const { code, stdout, stderr } = await importing(causal, "--objective", "causal", "--out", prior);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain("unconditional");
  expect(stdout).not.toContain("bits/token");
  const made = await tessera("generate", "--tokenizer", tokenizer, "--prior", prior, "--count", 1, "--out", temporary("made")); // prettier-ignore
  expect(made.code, made.stderr).toBe(0);
});

describe("is refused", () => {
  test.each<[string, number, readonly string[], RegExp]>([
    ["classes named twice", 2, ["--objective", "masked", "--classes", "a,b", "--classes-of", "set"], /twice/],
    ["a mask schedule of what masks nothing", 2, ["--objective", "causal", "--mask-schedule", "linear"], /--mask-schedule/],
    ["an objective that there is not", 2, ["--objective", "bert"], /--objective/],
    ["a class without a name", 2, ["--objective", "masked", "--classes", "a,,b"], /no name/],
    ["too few classes to need a class", 4, ["--objective", "masked"], /takes a class/],
    ["an objective that the file has not", 4, ["--objective", "causal", "--classes", "a,b"], /cache/],
  ])("%s (%i)", async (_what, expected, words, message) => {
    const prior = temporary("prior");
    const { code, stderr } = await importing(masked, ...words, "--out", prior);
    expect(code, stderr).toBe(expected);
    expect(stderr).toMatch(message);
    expect(existsSync(prior)).toBe(false);
  }); // prettier-ignore

  test("a file that is not there (3), and no file at all (2)", async () => {
    const words = ["--objective", "masked", "--out", temporary("prior")];
    expect(await importing(`${masked}.gone`, ...words)).toMatchObject({ code: 3 });
    expect(await tessera("import-prior", "--tokenizer", tokenizer, ...words)).toMatchObject({ code: 2 });
  });

  test("classes of a token set that has none (2) or is of another tokenizer (4)", async () => {
    const own = (await openTokens(tokens)).header.fingerprint;
    for (const [expected, fingerprint] of [[2, own], [4, "c".repeat(64)]] as const) {
      const directory = temporary("tokens");
      const header = { fingerprint, preprocessing: {}, grid: [4, 4] as [number, number], codebookSize: K, classes: [] };
      await (await createTokenWriter({ directory, header })).finish();
      const { code, stderr } = await importing(masked, "--objective", "masked", "--classes-of", directory, "--out", temporary("prior")); // prettier-ignore
      expect(code, stderr).toBe(expected);
    } // prettier-ignore
  });
});
