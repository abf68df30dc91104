/** What a published tokenizer holds: manifest, graphs, weights. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openArtifact } from "../../shared/artifact.ts";
import { fingerprintTokenizer } from "../../shared/fingerprint.ts";
import { checkModel } from "../../shared/onnx/check.ts";
import { decodeModel } from "../../shared/onnx/read.ts";
import { decodeState } from "../../shared/train/checkpoint.ts";
import { publishTokenizer, type TrainedTokenizer } from "../../stage1-tokenizer/export.ts";
import { parsePreprocessing } from "../../stage1-tokenizer/images/index.ts";
import { evaluationState } from "../../stage1-tokenizer/model/tokenize.ts";
import { pythonWith } from "../shared/onnx/models.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained, untrained } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const GRAPHS = ["encoder.onnx", "decoder.onnx", "features.onnx"] as const;
const FILES = ["README.md", "config.json", "decoder.onnx", "encoder.onnx", "features.onnx", "model.safetensors"];

/** The same tokenizer with `change` added to every value of the state entry `name`. */
function moved(trained: TrainedTokenizer, name: string, change: number): TrainedTokenizer {
  const entry = trained.state.values[name];
  if (!(entry instanceof Float32Array)) throw new Error(`There is no ${name}.`);
  const values = { ...trained.state.values, [name]: entry.map((value) => value + change) };
  return { ...trained, state: { ...trained.state, values } };
}

describe.each(["vq", "vq-ema"] as const)("a published %s tokenizer", (bottleneck) => {
  const config = tinyConfig({ bottleneck });

  test("says what it is, from what it came and what was measured; every digest is right", async () => {
    const provenance = { seed: 7, steps: 12, from: { images: "set" } };
    const directory = await publishUntrained(config, temporary("tokenizer"), { provenance });
    const artifact = await openArtifact(directory, { kind: "tokenizer" });
    await artifact.verify();
    const { manifest } = artifact;
    expect(Object.keys(manifest.files).sort()).toEqual(FILES);
    expect(manifest.config).toEqual(config);
    expect(JSON.parse(readFileSync(join(directory, "config.json"), "utf8"))).toEqual(config);
    expect(manifest.provenance).toMatchObject({ ...provenance, metrics: { psnr: 20, codesUsed: 4 } });
    const preprocessing = parsePreprocessing(manifest.preprocessing, "manifest");
    expect(manifest.fingerprint).toBe(fingerprintTokenizer(await artifact.read("encoder.onnx"), preprocessing));
    expect(readFileSync(join(directory, "README.md"), "utf8")).toContain(manifest.fingerprint);
  });

  test("its graphs have standard operators only, uint8 images, int64 tokens and the batch open", async () => {
    const artifact = await openArtifact(await publishUntrained(config, temporary("tokenizer")));
    const image = { name: "image", type: "uint8", shape: ["N", 8, 8, 3] };
    const tokens = { name: "tokens", type: "int64", shape: ["N", 4, 4] };
    const features = { name: "features", type: "float32", shape: ["N", 8] };
    const signatures = {
      "encoder.onnx": [image, tokens],
      "decoder.onnx": [tokens, image],
      "features.onnx": [image, features],
    };
    for (const name of GRAPHS) {
      const model = decodeModel(await artifact.read(name), name);
      expect(() => {
        checkModel(model);
      }).not.toThrow();
      expect(model.opsets).toEqual({ "": 17 });
      expect(model.irVersion).toBeLessThanOrEqual(10);
      expect(model.nodes.filter(({ domain = "" }) => domain !== "")).toEqual([]);
      expect([...model.inputs, ...model.outputs]).toEqual(signatures[name]);
    }
  });

  test("is written again byte for byte", async () => {
    const [a, b] = [temporary("tokenizer"), temporary("tokenizer")];
    for (const directory of [a, b]) await publishUntrained(config, directory);
    for (const file of FILES) expect(readFileSync(join(a, file)).equals(readFileSync(join(b, file))), file).toBe(true);
  });

  test("is accepted by Python's onnx checker", async ({ skip }) => {
    const python = pythonWith("onnx");
    if (python === undefined) {
      skip("no Python with the onnx package here (Debian: python3-onnx)");
      return;
    }
    const directory = await publishUntrained(config, temporary("tokenizer"));
    const script =
      "import onnx, sys\nfor path in sys.argv[1:]: onnx.checker.check_model(onnx.load(path), full_check=True)";
    const paths = GRAPHS.map((name) => join(directory, name));
    const { status, stderr } = spawnSync(python, ["-c", script, ...paths], { encoding: "utf8" });
    expect(status, stderr).toBe(0);
  });

  test("a weight that is not finite is not published (4)", async () => {
    const directory = temporary("tokenizer");
    const broken = moved(untrained(config), "weight/encoder.toCode.bias", NaN);
    await expect(publishTokenizer(broken, { directory })).rejects.toMatchObject({ exitCode: 4 });
    await expect(openArtifact(directory)).rejects.toMatchObject({ exitCode: 3 });
  });
});

test("the fingerprint follows whatever changes a token, and nothing else", async () => {
  const trained = untrained(tinyConfig({ bottleneck: "vq" }));
  const { preprocessing } = trained;
  const fingerprintOf = (changed: TrainedTokenizer): Promise<string> =>
    publishTokenizer(changed, { directory: temporary("tokenizer") });
  const own = await fingerprintOf(trained);
  expect(await fingerprintOf(moved(trained, "weight/decoder.up0.bias", 0.1))).toBe(own);
  const others = [
    moved(trained, "weight/encoder.toCode.bias", 0.1),
    moved(trained, "weight/codebook.embedding", 0.1),
    { ...trained, preprocessing: { ...preprocessing, fit: "contain" as const } },
  ];
  const fingerprints = [own, ...(await Promise.all(others.map(fingerprintOf)))];
  expect(new Set(fingerprints).size).toBe(4);
});

test("the averaged weights are what is published, under the weights' names", async () => {
  const config = tinyConfig({ bottleneck: "vq", weightEmaDecay: 0.9 });
  const changed = moved(untrained(config), "ema/encoder.toCode.bias", 3);
  const directory = temporary("tokenizer");
  await publishTokenizer(changed, { directory });
  const bytes = await (await openArtifact(directory)).read("model.safetensors");
  const { values } = decodeState(bytes, "model.safetensors");
  expect(values).toEqual(evaluationState(changed.state.values));
  expect(values["weight/encoder.toCode.bias"]).toEqual(changed.state.values["ema/encoder.toCode.bias"]);
});

test("figures that JSON has no number for are left out of the manifest: a perfect reconstruction is published", async () => {
  const directory = temporary("tokenizer");
  const trained = { ...untrained(tinyConfig({})), figures: { psnr: Infinity, nmse: NaN, mse: 0 } };
  await publishTokenizer(trained, { directory });
  expect((await openArtifact(directory)).manifest.provenance.metrics).toEqual({ mse: 0 });
  expect(readFileSync(join(directory, "README.md"), "utf8")).toContain("psnr Infinity");
});

test("an existing folder is replaced only on demand (2)", async () => {
  const directory = await publishUntrained(tinyConfig({}), temporary("tokenizer"));
  const before = readFileSync(join(directory, "encoder.onnx"));
  const other = { seed: 9 };
  await expect(publishUntrained(tinyConfig({}), directory, other)).rejects.toMatchObject({ exitCode: 2 });
  expect(readFileSync(join(directory, "encoder.onnx")).equals(before)).toBe(true);
  await publishUntrained(tinyConfig({}), directory, { ...other, overwrite: true });
  expect(readFileSync(join(directory, "encoder.onnx")).equals(before)).toBe(false);
});
