/** Priors from elsewhere: good ones become artefacts like any other, and every check has a graph that it refuses. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openArtifact } from "../../shared/artifact.ts";
import { sha256Hex } from "../../shared/fingerprint.ts";
import type { OnnxModel, ValueInfo } from "../../shared/onnx/model.ts";
import { saturatesPairs } from "../../shared/onnx/quantize/saturation.ts";
import { Rng } from "../../shared/rng.ts";
import { createTokenWriter, openTokens, type TokenSet } from "../../shared/token-file/index.ts";
import { importPrior, type ImportPriorOptions } from "../../stage2-prior/import.ts";
import { loadPrior } from "../../stage2-prior/prior.ts";
import { LEARNT_OBJECTIVES } from "../../stage2-prior/signature.ts";
import { bytesOf, withInt8Product } from "../shared/onnx/models.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { CODES, edited, exported, floats, grafted, int, integers, ints, LENGTH, lookup, node, table, withExternalData } from "./foreign-graphs.ts"; // prettier-ignore
import { FINGERPRINT } from "./tiny-artifact.ts";

const temporary = useTemporaryDirectory();
const TOKENIZER = { fingerprint: FINGERPRINT, codebookSize: CODES, grid: [4, 4] } as const;
const CLASSES = ["x", "y", "z"];

function place(graph: Uint8Array): string {
  const file = temporary("model.onnx");
  writeFileSync(file, graph);
  return file;
}

async function imported(graph: Uint8Array, changes: Partial<ImportPriorOptions> = {}) {
  const directory = temporary("prior");
  const file = place(graph);
  const options: ImportPriorOptions = {
    ...{ file, directory, tokenizer: TOKENIZER, objective: "masked", classes: [], maskSchedule: "cosine" },
    session: { threads: 1 },
    ...changes,
  };
  return { file, directory, result: await importPrior(options) };
}

/** The import is refused with `exitCode`, the file named and nothing published. */
async function refused(
  graph: Uint8Array,
  { exitCode = 4, message, ...changes }: Partial<ImportPriorOptions> & { exitCode?: number; message: RegExp },
): Promise<void> {
  const directory = temporary("refused");
  await expect(imported(graph, { directory, ...changes })).rejects.toMatchObject({
    exitCode,
    message: expect.stringMatching(message) as string,
  });
  expect(existsSync(directory)).toBe(false);
}

async function heldOutSet(changes: { fingerprint?: string; classes?: string[] } = {}): Promise<TokenSet> {
  const directory = temporary("tokens");
  const header = { fingerprint: FINGERPRINT, preprocessing: {}, grid: [4, 4] as [number, number], codebookSize: CODES, classes: CLASSES, ...changes }; // prettier-ignore
  const writer = await createTokenWriter({ directory, header });
  const rng = Rng.fromSeed(5);
  for (let i = 0; i < 3; i++)
    await writer.append({ key: `k${i}`, label: i % header.classes.length, tokens: Int32Array.from({ length: LENGTH }, () => rng.integer(CODES)) }); // prettier-ignore
  await writer.finish();
  return openTokens(directory);
}

describe.each(LEARNT_OBJECTIVES.flatMap((objective) => [0, 3].map((classes) => ({ objective, classes }))))(
  "a $objective graph of $classes classes",
  ({ objective, classes }) => {
    test("is published unchanged, and is then a prior like any other", async () => {
      const graph = exported(objective, { classes });
      const names = CLASSES.slice(0, classes);
      const heldOut = await heldOutSet();
      const shares: number[] = [];
      const { file, directory, result } = await imported(graph, {
        ...{ objective, classes: names, heldOut, onProgress: (share: number) => shares.push(share) },
      });
      expect(readFileSync(join(directory, "prior.onnx")).equals(graph)).toBe(true);
      expect(shares.at(-1)).toBe(1);
      const artifact = await openArtifact(directory, { kind: "prior" });
      await artifact.verify();
      const { provenance, fingerprint, config } = artifact.manifest;
      expect(fingerprint).toBe(FINGERPRINT);
      const sha256 = sha256Hex(graph);
      expect(result.sha256).toBe(sha256);
      expect(provenance.from).toEqual({ file: file.split("/").at(-1), sha256 });
      expect(config).toMatchObject({ objective, codebookSize: CODES, grid: [4, 4], classes: names, maskSchedule: "cosine" }); // prettier-ignore
      expect(readFileSync(join(directory, "README.md"), "utf8")).toContain(sha256);

      const prior = await loadPrior(directory, { threads: 1 });
      const { grid: tokens, labels } = await heldOut.load();
      expect(await prior.bitsPerToken({ tokens, labels })).toBe(provenance.metrics?.["bitsPerToken"]);
      const sample = await prior.sample({ count: 2, rng: Rng.fromSeed(1), className: names[1] });
      expect(sample.tokens.every((token) => token >= 0 && token < CODES)).toBe(true);
      await prior.dispose();
    });
  },
);

test("graphs made by hand are priors too, measured or not; a graph may leave L open and have inputs with values of their own", async () => {
  const open = edited(lookup(), ({ inputs, outputs, initializers }) => ({
    inputs: [
      ...inputs.map((input) => ({ ...input, shape: ["", "length"] })),
      ...initializers.map(({ name, type, shape }) => ({ name, type, shape })),
    ],
    outputs: outputs.map((output) => ({ ...output, shape: ["batch", "length", CODES] })),
  }));
  for (const graph of [lookup(), open]) {
    const { directory, result } = await imported(graph);
    expect(result.bitsPerToken).toBeUndefined();
    const { provenance } = (await openArtifact(directory)).manifest;
    expect(provenance.metrics).toBeUndefined();
    const prior = await loadPrior(directory, { threads: 1 });
    expect((await prior.sample({ count: 1, rng: Rng.fromSeed(1) })).shape).toEqual([1, 4, 4]);
    await prior.dispose();
  }
  await imported(lookup({ classes: 4 }), { classes: CLASSES });
});

test("a graph that lists its constants among its inputs, as older ones do, is computed in int8 too, to the same numbers", async () => {
  const graph = exported("masked", { classes: 0 });
  const listing = ({ inputs, initializers }: OnnxModel) => ({
    irVersion: 3,
    inputs: [...inputs, ...initializers.map(({ name, type, shape }) => ({ name, type, shape }))],
  });
  const [plain, listed] = await Promise.all(
    [graph, edited(graph, listing)].map(async (file) => {
      const { directory } = await imported(file);
      const prior = await loadPrior(directory, { threads: 1, dtype: "int8" });
      const heldOut = await (await heldOutSet()).load();
      const bits = await prior.bitsPerToken({ tokens: heldOut.grid, labels: heldOut.labels });
      await prior.dispose();
      return bits;
    }),
  );
  expect(listed).toBe(plain);
});

describe("is no ONNX file to be trusted (3)", () => {
  test.each([
    ["bytes", Uint8Array.of(1, 2, 3), /damaged or not one/],
    ["nothing", new Uint8Array(), /no IR version/],
    ["one that refers to another file", withExternalData(), /outside the file/],
    ["one that the runtime refuses", edited(lookup(), () => ({ nodes: [node("Gather", ["codes", "nowhere"], "logits")] })), /could not load/], // prettier-ignore
  ])("%s", (_what, graph, message) => refused(graph, { exitCode: 3, message }));

  test("a missing file, a folder", async () => {
    const folder = temporary("folder");
    mkdirSync(folder);
    await refused(lookup(), { exitCode: 3, file: temporary("nowhere"), message: /no such file/ });
    await refused(lookup(), { exitCode: 3, file: folder, message: /is a folder/ });
  });
});

const withValue = (role: "inputs" | "outputs", name: string, change: Partial<ValueInfo>) => (model: OnnxModel) => ({
  [role]: model[role].map((value) => (value.name === name ? { ...value, ...change } : value)),
});
const renamed = (graph: Uint8Array, from: string, to: string): Uint8Array => {
  const rename = (name: string): string => (name === from ? to : name);
  return edited(graph, ({ inputs, outputs, nodes }) => ({
    inputs: inputs.map((value) => ({ ...value, name: rename(value.name) })),
    outputs: outputs.map((value) => ({ ...value, name: rename(value.name) })),
    nodes: nodes.map((old) => ({ ...old, inputs: old.inputs.map(rename), outputs: old.outputs.map(rename) })),
  }));
};

describe("declares another signature (4)", () => {
  const causal = exported("causal", { classes: 0 });
  test.each<[string, Uint8Array, RegExp, Partial<ImportPriorOptions>?]>([
    ["tokens by another name", renamed(lookup(), "tokens", "input_ids"), /no input "tokens".*int64 \[N, 16\].*input_ids/],
    ["logits by another name", renamed(lookup(), "logits", "scores"), /no output "logits".*float32 \[N, 16, 7\].*scores/],
    ["tokens as int32", edited(lookup(), withValue("inputs", "tokens", { type: "int32" })), /"tokens".*int64 \[N, 16\].*int32 \[N, 16\]/],
    ["logits as int64", edited(lookup(), withValue("outputs", "logits", { type: "int64" })), /"logits".*float32/],
    ["tokens as a grid", edited(lookup(), withValue("inputs", "tokens", { shape: ["N", 4, 4] })), /\[N, 4, 4\]/],
    ["a fixed batch", lookup({ batch: 1 }), /int64 \[N, 16\], got int64 \[1, 16\]/],
    ["another grid", lookup(), /\[N, 20\], got int64 \[N, 16\]/, { tokenizer: { ...TOKENIZER, grid: [4, 5] } }],
    ["another K", lookup(), /\[N, 16, 8\], got float32 \[N, 16, 7\]/, { tokenizer: { ...TOKENIZER, codebookSize: 8 } }],
    ["an open K", edited(lookup(), withValue("outputs", "logits", { shape: ["N", 16, "K"] })), /\[N, 16, 7\], got float32 \[N, 16, K\]/],
    ["a class that nobody named", lookup({ classes: 4 }), /takes a class/],
    ["no class though some are named", lookup(), /takes none/, { classes: CLASSES }],
    ["an input too many", edited(lookup(), ({ inputs }) => ({ inputs: [...inputs, { name: "mask", type: "bool", shape: ["N", 16] }] })), /"mask"/],
    ["no cache", lookup(), /no key–value cache/, { objective: "causal" }],
    ["the causal signature for another objective", causal, /past_keys_0/],
    ["layers with a gap", ["keys", "values"].reduce((graph, what) => renamed(graph, `past_${what}_1`, `past_${what}_2`), causal), /past_keys_2|present_keys_1/, { objective: "causal" }],
    ["a layer without values", renamed(causal, "past_values_1", "values"), /no input "past_values_1"/, { objective: "causal" }],
    ["a layer that returns nothing", renamed(causal, "present_keys_1", "rows"), /no output "present_keys_1"/, { objective: "causal" }],
    ["values of other heads", edited(causal, withValue("inputs", "past_values_0", { shape: ["N", 4, "R", 8] })), /\[N, 2, R, 8\], got float32 \[N, 4, R, 8\]/, { objective: "causal" }],
    ["heads left open", edited(causal, withValue("inputs", "past_keys_0", { shape: ["N", "H", "R", 8] })), /\[N, H, R, Dh\]/, { objective: "causal" }],
    ["a cache time first", edited(causal, withValue("inputs", "past_keys_0", { shape: ["P", "N", 2, 8] })), /\[N, H, R, Dh\], got float32 \[P, N, 2, 8\]/, { objective: "causal" }],
    ["a cache of which all rows count", renamed(causal, "past_length", "length"), /no input "past_length".*int64 \[1\]/, { objective: "causal" }],
  ])("%s", (_what, graph, message, changes = {}) => refused(graph, { message, ...changes }));
}); // prettier-ignore

describe("behaves otherwise (4)", () => {
  const causal = exported("causal", { classes: 0 });
  const lengths = edited(lookup(), ({ inputs, outputs }) => ({
    inputs: inputs.map((input) => ({ ...input, shape: ["N", "T"] })),
    outputs: outputs.map((output) => ({ ...output, shape: ["N", "S", CODES] })),
  }));
  const overBatch = [node("ReduceMean", ["inner"], "mean", { axes: ints(0) }), node("Add", ["inner", "mean"], "logits")];
  test.each<[string, Uint8Array, RegExp, Partial<ImportPriorOptions>?]>([
    ["one image at a time only", grafted(lookup(), "logits", [node("Reshape", ["inner", "shape"], "logits")], [integers("shape", [1, LENGTH, CODES])]), /two images at once/],
    ["fewer positions than asked", grafted(lengths, "logits", [node("Slice", ["inner", "from", "to", "axis"], "logits")], [integers("from", [0]), integers("to", [15]), integers("axis", [1])]), /another shape.*\[1, 16, 7\].*\[1, 15, 7\]/],
    ["without the id K", lookup({ ids: CODES }), /id of an unknown token.*0 … 7/],
    ["without the null class", lookup({ classes: 3 }), /class id of 0, 1, 2, 3/, { classes: CLASSES }],
    ["looking at its neighbours", grafted(lookup(), "logits", overBatch), /other images of the batch.*difference/],
    ["looking at the token it predicts", lookup(), /depend on tokens from position 0 on/, { objective: "pixelcnn" }],
    ["a masked prior called pixelcnn", exported("masked", { classes: 0 }), /depend on tokens from position 0 on/, { objective: "pixelcnn" }],
    ["one look ahead at the very end", grafted(exported("pixelcnn", { classes: 0 }), "logits", [
      node("Gather", ["tokens", "last"], "id", { axis: int(1) }), node("Cast", ["id"], "number", { to: int(1) }), node("Unsqueeze", ["number", "axis"], "shift"),
      node("Mul", ["shift", "mask"], "masked"), node("Add", ["inner", "masked"], "logits"),
    ], [integers("last", [LENGTH - 1]), integers("axis", [2]), floats("mask", [1, LENGTH, CODES], Array.from({ length: LENGTH * CODES }, (_, i) => Number(i === 15 * CODES)))]), /up to position 15 depend/, { objective: "pixelcnn" }],
    ["causal, looking at later tokens", grafted(causal, "logits", [
      node("Gather", ["codes", "tokens"], "own"), node("ReduceMean", ["own"], "mean", { axes: ints(1) }), node("Add", ["inner", "mean"], "logits"),
    ], [table("codes", CODES + 1)]), /up to position 0 depend on tokens from position 1/, { objective: "causal" }],
    ["causal, counting positions anew in every call", grafted(causal, "logits", [
      node("Mul", ["inner", "zero"], "zeros"), node("Add", ["zeros", "one"], "ones"), node("CumSum", ["ones", "axis"], "place"), node("Add", ["inner", "place"], "sum"),
      node("Mul", ["sum", "place"], "logits"),
    ], [floats("zero", [1], [0]), floats("one", [1], [1]), integers("axis", [1])]), /cache gives other logits.*position 1 on/, { objective: "causal" }],
    ["causal, forgetting its cache", edited(causal, ({ nodes, initializers }) => ({
      nodes: [...["keys", "values"].map((what) => node("Mul", [`past_${what}_0`, "zero"], `lost_${what}`)), ...nodes.map((old) => ({ ...old, inputs: old.inputs.map((name) => name.replace(/^past_(keys|values)_0$/, "lost_$1")) }))],
      initializers: [...initializers, floats("zero", [1], [0])],
    })), /cache gives other logits/, { objective: "causal" }],
    ["causal, counting rows that hold nothing", edited(causal, ({ nodes, initializers }) => ({
      nodes: nodes.map((old) => (old.op === "GreaterOrEqual" ? { ...old, inputs: [old.inputs[0] ?? "", "sixteen"] } : old)),
      initializers: [...initializers, { name: "sixteen", type: "int32", shape: [1], data: bytesOf(Int32Array.of(16)) }],
    })), /cache gives other logits|depend/, { objective: "causal" }],
    ["causal, returning old rows too", grafted(edited(causal, withValue("outputs", "present_keys_0", { shape: ["N", 2, "S", 8] })), "present_keys_0", [node("Concat", ["past_keys_0", "inner"], "present_keys_0", { axis: int(2) })]), /present_keys_0 come in another shape.*new rows only/, { objective: "causal" }],
  ])("%s", (_what, graph, message, changes = {}) => refused(graph, { message, ...changes }));

  test.each([["NaN", 0], ["infinity", 1]])("%s is a numerical error (5)", (_what, offset) => {
    const nodes = [node("Sub", ["inner", "inner"], "zeros"), node("Add", ["zeros", "offset"], "number"), node("Div", ["number", "zeros"], "logits")];
    return refused(grafted(lookup(), "logits", nodes, [floats("offset", [1], [offset])]), { exitCode: 5, message: /logits are not finite/ });
  });
}); // prettier-ignore

test("a graph with products of uint8 by int8 is refused (4) where the processor gets them wrong, and imported where not", async () => {
  const graph = edited(lookup(), withInt8Product);
  if (await saturatesPairs()) await refused(graph, { message: /model\.onnx.*"bytes" \(MatMulInteger\).*VNNI/ });
  else await imported(graph);
});

describe("does not fit what stands around it", () => {
  test("classes without a name, or of one name (2)", async () => {
    await refused(lookup({ classes: 3 }), { exitCode: 2, classes: ["x", ""], message: /no name/ });
    await refused(lookup({ classes: 3 }), { exitCode: 2, classes: ["x", "x"], message: /"x"/ });
  });

  test("held-out tokens of another tokenizer, or of other classes (4)", async () => {
    await refused(lookup(), {
      heldOut: await heldOutSet({ fingerprint: "b".repeat(64) }),
      message: /another tokenizer/,
    });
    const heldOut = await heldOutSet({ classes: ["z", "y", "x"] });
    await refused(lookup({ classes: 4 }), { classes: CLASSES, heldOut, message: /z, y, x/ });
    expect((await imported(lookup(), { heldOut })).result.bitsPerToken).toBeGreaterThan(0);
  });

  test("a folder that is taken, unless it may be replaced (2)", async () => {
    const { directory } = await imported(lookup());
    await expect(imported(lookup(), { directory })).rejects.toMatchObject({ exitCode: 2 });
    await imported(exported("masked", { classes: 0 }), { directory, overwrite: true });
  });

  test("stops with the signal's reason", async () => {
    const reason = new Error("enough");
    const importing = imported(lookup(), { signal: AbortSignal.abort(reason) });
    await expect(importing).rejects.toBe(reason);
  });
});
