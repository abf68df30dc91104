/** `--dtype int8` on the commands that run a tokenizer: what they print of it, write of it, and refuse. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { loadTokenizer, openFolderSource, streamImages } from "../../stage1-tokenizer/index.ts";
import { openTokens } from "../../shared/token-file/index.ts";
import { drawFolder, SIDE, tessera } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishMeasured, publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";

const temporary = useTemporaryDirectory();
let folder: string;
let measured: string;
let plain: string;

beforeAll(async () => {
  const config = tinyConfig({ imageSize: SIDE });
  folder = await drawFolder(temporary("images"), ["east", "west"], 10);
  measured = await publishMeasured(config, temporary("measured"));
  plain = await publishUntrained(config, temporary("plain"));
});

const words = (tokenizer = measured): (string | number)[] =>
  ["--tokenizer", tokenizer, "--source", folder, "--threads", 1]; // prettier-ignore

describe("evaluate-tokenizer --dtype int8", () => {
  test("says what int8 costs: PSNR and tokens of both, over all images", async () => {
    const { code, json, stderr } = await tessera("evaluate-tokenizer", ...words(), "--split", "all", "--dtype", "int8", "--json"); // prettier-ignore
    expect(code, stderr).toBe(0);
    const { json: exact } = await tessera("evaluate-tokenizer", ...words(), "--split", "all", "--json");
    expect(exact).toMatchObject({ dtype: "float32", float32Psnr: null, psnrCost: null, tokenAgreement: null, encodeSpeedup: null }); // prettier-ignore
    expect(json).toMatchObject({ dtype: "int8", images: 20 });
    expect(json?.["float32Psnr"]).toBeCloseTo(Number(exact?.["psnr"]), 9);
    expect(json?.["psnr"]).not.toBe(exact?.["psnr"]);
    expect(json?.["psnrCost"]).toBeCloseTo(Number(exact?.["psnr"]) - Number(json?.["psnr"]), 9);
    expect(json?.["encodeSpeedup"]).toBeGreaterThan(0);

    const images: number[] = [];
    const tokenizers = [await loadTokenizer(measured, { threads: 1 }), await loadTokenizer(measured, { threads: 1, dtype: "int8" })] as const; // prettier-ignore
    const records = (await openFolderSource(folder)).records();
    for await (const batch of streamImages({ records, preprocessing: tokenizers[0].preprocessing, batchSize: 64 }))
      images.push(...batch.images);
    const [a, b] = [await tokenizers[0].encode(Uint8Array.from(images)), await tokenizers[1].encode(Uint8Array.from(images))]; // prettier-ignore
    const same = a.tokens.filter((token, i) => token === b.tokens[i]).length;
    expect(json?.["tokenAgreement"]).toBeCloseTo(same / a.tokens.length, 12);
    await Promise.all(tokenizers.map((tokenizer) => tokenizer.dispose()));
  });

  test("prints it for people, and nothing of it in float32", async () => {
    const { stdout } = await tessera("evaluate-tokenizer", ...words(), "--split", "all", "--dtype", "int8");
    expect(stdout).toMatch(/PSNR in float32 +[\d.]+ dB: int8 costs -?[\d.]+ dB/);
    expect(stdout).toMatch(/tokens as in float32 +[\d.]+ %/);
    expect(stdout).toMatch(/encoding in int8 +[\d.]+ times as fast/);
    expect((await tessera("evaluate-tokenizer", ...words(), "--split", "all")).stdout).not.toContain("int8");
  });
});

describe("tokenize --dtype", () => {
  test("writes the tokens of that arithmetic, says which, and keeps the tokenizer's fingerprint", async () => {
    for (const dtype of ["float32", "int8"] as const) {
      const out = temporary(dtype);
      const { code, json, stderr } = await tessera("tokenize", ...words(), "--out", out, "--dtype", dtype, "--json");
      expect(code, stderr).toBe(0);
      const tokenizer = await loadTokenizer(measured, { threads: 1, dtype });
      const { fingerprint } = tokenizer.spec;
      expect(json).toMatchObject({ images: 20, fingerprint });
      const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8")) as unknown;
      expect(manifest).toMatchObject({ fingerprint, provenance: { from: { dtype, tokenizer: measured } } });
      const written = new Map<string, readonly number[]>();
      for await (const { key, tokens } of (await openTokens(out)).records()) written.set(key, [...tokens]);
      const { preprocessing } = tokenizer;
      for await (const { images, keys } of streamImages({
        records: (await openFolderSource(folder)).records(),
        preprocessing,
        batchSize: 1,
      }))
        // prettier-ignore
        expect(written.get(keys[0] ?? "")).toEqual([...(await tokenizer.encode(images)).tokens]);
      await tokenizer.dispose();
    }
  });
});

test("reconstruct --dtype int8 prints the figures of int8", async () => {
  const sheet = ["--sheet", temporary("sheet.png")];
  const { json } = await tessera("reconstruct", ...words(), ...sheet, "--dtype", "int8", "--json");
  const { json: evaluated } = await tessera("evaluate-tokenizer", ...words(), "--split", "all", "--dtype", "int8", "--json"); // prettier-ignore
  expect(json?.["psnr"]).toBeCloseTo(Number(evaluated?.["psnr"]), 9);
});

test.each(["evaluate-tokenizer", "tokenize", "reconstruct"])(
  "%s refuses int8 of a tokenizer without ranges (4), and another word (2)",
  async (command) => {
    const rest = ["--split", "all", ...(command === "tokenize" ? ["--out", temporary("never")] : [])];
    const refused = await tessera(command, ...words(plain), ...rest, "--dtype", "int8");
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/ranges\.json.*--dtype float32/);
    expect((await tessera(command, ...words(), ...rest, "--dtype", "int4")).code).toBe(2);
  },
);
