import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openArtifact } from "../../shared/artifact.ts";
import { checkModel } from "../../shared/onnx/check.ts";
import type { OnnxModel } from "../../shared/onnx/model.ts";
import { decodeModel } from "../../shared/onnx/read.ts";
import { decodeState } from "../../shared/train/checkpoint.ts";
import { publishPrior } from "../../stage2-prior/export.ts";
import { LEARNT_OBJECTIVES } from "../../stage2-prior/signature.ts";
import { evaluationWeights } from "../../stage2-prior/training-step.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { FINGERPRINT, publishUntrained, untrained } from "./tiny-artifact.ts";
import { tinyPrior } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();

async function graphOf(overrides: Readonly<Record<string, unknown>>): Promise<OnnxModel> {
  const artifact = await openArtifact(await publishUntrained(tinyPrior(overrides), temporary("prior")));
  return decodeModel(await artifact.read("prior.onnx"), "prior.onnx");
}
const described = (values: OnnxModel["inputs"]): string[] =>
  values.map(({ name, type, shape }) => `${name} ${type} [${shape.join(",")}]`).sort();

describe.each(LEARNT_OBJECTIVES)("a published %s prior", (objective) => {
  const config = tinyPrior({ objective });

  test("says what it is, what it learnt and what was measured; every digest is right", async () => {
    const provenance = { seed: 7, steps: 12, from: { tokens: "set" } };
    const directory = await publishUntrained(config, temporary("prior"), { provenance });
    const artifact = await openArtifact(directory, { kind: "prior" });
    await artifact.verify();
    const { manifest } = artifact;
    expect(Object.keys(manifest.files).sort()).toEqual(["README.md", "config.json", "model.safetensors", "prior.onnx"]);
    expect(manifest.fingerprint).toBe(FINGERPRINT);
    expect(manifest.config).toMatchObject({ objective, codebookSize: 7, grid: [4, 4], classes: ["x", "y", "z"] });
    expect(manifest.provenance).toMatchObject({ ...provenance, metrics: { bitsPerToken: 2.5 } });
    const measure = { causal: "exact", masked: "masked", diffusion: "bound", pixelcnn: "exact" }[objective];
    expect(manifest.config).toMatchObject({ measure });
    expect(readFileSync(join(directory, "README.md"), "utf8")).toContain(measure);
    expect(JSON.parse(readFileSync(join(directory, "config.json"), "utf8"))).toEqual(manifest.config);
  });

  test("its graph has standard operators only, with the batch open", async () => {
    const model = await graphOf({ objective });
    expect(() => {
      checkModel(model);
    }).not.toThrow();
    expect(model.opsets).toEqual({ "": 17 });
    expect(model.irVersion).toBeLessThanOrEqual(10);
    expect(model.nodes.filter(({ domain = "" }) => domain !== "")).toEqual([]);
  });

  test("an unconditional one has no class to feed and names none, whatever its tokens were labelled", async () => {
    const directory = await publishUntrained(tinyPrior({ objective, classes: 0 }), temporary("prior"));
    const artifact = await openArtifact(directory);
    expect(artifact.manifest.config).toMatchObject({ classes: [] });
    const { inputs } = decodeModel(await artifact.read("prior.onnx"), "prior.onnx");
    expect(inputs.map(({ name }) => name)).not.toContain("class");
  });

  test("holds the averaged weights, under their plain names", async () => {
    const trained = untrained(tinyPrior({ objective, weightEmaDecay: 0.9 }));
    const moved = Object.entries(trained.state.values).map(([name, array]) => [
      name,
      name.startsWith("ema/") ? Float32Array.from(array, (value) => value + 1) : array,
    ]);
    const values = Object.fromEntries(moved) as typeof trained.state.values;
    const directory = temporary("prior");
    await publishPrior({ ...trained, state: { ...trained.state, values } }, { directory });
    const bytes = await (await openArtifact(directory)).read("model.safetensors");
    const stored = decodeState(bytes, "model.safetensors").values;
    expect(stored).toEqual(evaluationWeights(values));
    expect(stored["head.bias"]).toEqual(new Float32Array(7).fill(1));
  });

  test("is written again byte for byte", async () => {
    const [a, b] = [temporary("prior"), temporary("prior")];
    for (const directory of [a, b]) await publishUntrained(config, directory);
    for (const file of ["prior.onnx", "model.safetensors", "config.json", "README.md"])
      expect(readFileSync(join(a, file)).equals(readFileSync(join(b, file))), file).toBe(true);
  });

  test("a weight that is not finite is not published (4)", async () => {
    const trained = untrained(config);
    const name = "ema/block0.out.kernel";
    const values = {
      ...trained.state.values,
      [name]: Float32Array.from(trained.state.values[name] ?? []).fill(NaN, 3, 4),
    };
    const directory = temporary("prior");
    const publishing = publishPrior({ ...trained, state: { ...trained.state, values } }, { directory });
    await expect(publishing).rejects.toMatchObject({ exitCode: 4 });
    await expect(openArtifact(directory)).rejects.toMatchObject({ exitCode: 3 });
  });

  test("does not replace a folder unless asked (2)", async () => {
    const directory = await publishUntrained(config, temporary("prior"));
    await expect(publishUntrained(config, directory)).rejects.toMatchObject({ exitCode: 2 });
    await publishUntrained(config, directory, { overwrite: true });
  });
});

describe("signatures", () => {
  test.each(["masked", "diffusion", "pixelcnn"])("%s: tokens and class in, logits over K out", async (objective) => {
    const { inputs, outputs } = await graphOf({ objective });
    expect(described(inputs)).toEqual(["class int64 [N]", "tokens int64 [N,16]"]);
    expect(described(outputs)).toEqual(["logits float32 [N,16,7]"]);
  });

  test("causal: a cache of R rows a head and how many of them count in, the new T rows out", async () => {
    const { inputs, outputs } = await graphOf({ objective: "causal" });
    const rows = (when: string, size: string): string[] =>
      [0, 1].flatMap((layer) => ["keys", "values"].map((what) => `${when}_${what}_${layer} float32 [N,2,${size},8]`));
    const given = ["class int64 [N]", "past_length int64 [1]", "tokens int64 [N,T]", ...rows("past", "R")];
    expect(described(inputs)).toEqual(given.sort());
    expect(described(outputs)).toEqual(["logits float32 [N,T,7]", ...rows("present", "T")].sort());
  });
});
