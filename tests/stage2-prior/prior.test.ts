/** Published priors, loaded and sampled; and the folders that are none. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { publishArtifact, type JsonValue } from "../../shared/artifact.ts";
import { tf } from "../../shared/engine/tf.ts";
import type { Initializer, OnnxModel, OnnxNode } from "../../shared/onnx/model.ts";
import { saturatesPairs } from "../../shared/onnx/quantize/saturation.ts";
import { encodeModel } from "../../shared/onnx/write.ts";
import { Rng } from "../../shared/rng.ts";
import { SAMPLER_NAMES } from "../../stage2-prior/decoding.ts";
import type { LearntOptions } from "../../stage2-prior/learnt.ts";
import { networkOf } from "../../stage2-prior/model/index.ts";
import { loadPrior, type Prior, type SampleRequest } from "../../stage2-prior/prior.ts";
import { LEARNT_OBJECTIVES } from "../../stage2-prior/signature.ts";
import { evaluationWeights } from "../../stage2-prior/training-step.ts";
import { toCausalInputs } from "../../stage2-prior/vocabulary.ts";
import { toTensors } from "../contracts/bottleneck.ts";
import { describePrior, describeUnconditional } from "../contracts/prior.ts";
import { bytesOf, withInt8Product } from "../shared/onnx/models.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { edited, exported, integers, ints } from "./foreign-graphs.ts";
import { FINGERPRINT, publishUntrained, untrained } from "./tiny-artifact.ts";
import { tinyPrior } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const OPTIONS = { threads: 1 };
const INT8 = { threads: 1, dtype: "int8" } as const;
const L = 16;

describe.each(LEARNT_OBJECTIVES)("%s", (objective) => {
  const config = tinyPrior({ objective });
  const { maskSchedule } = config;
  const spec = { objective, codebookSize: 7, grid: [4, 4], maskSchedule, fingerprint: FINGERPRINT } as const;
  const open = async (classes: number, options: LearntOptions = OPTIONS) =>
    loadPrior(await publishUntrained(tinyPrior({ objective, classes }), temporary("prior")), options);
  const raster = objective === "causal" || objective === "pixelcnn";

  describePrior({ name: objective, spec: { ...spec, classes: ["x", "y", "z"] }, raster, open: () => open(3) });
  describePrior({ name: `${objective} int8`, spec: { ...spec, classes: ["x", "y", "z"] }, raster, open: () => open(3, INT8) }); // prettier-ignore
  describeUnconditional({ name: objective, open: () => open(0) });

  test("in int8 it finds images as likely as in float32, but for what rounding costs", async () => {
    const rng = Rng.fromSeed(5);
    const tokens = { tokens: Int32Array.from({ length: 8 * L }, () => rng.integer(7)), shape: [8, 4, 4] } as const;
    const bitsIn = async (options: LearntOptions): Promise<number> => {
      const prior = await open(3, options);
      const bits = await prior.bitsPerToken({ tokens, labels: new Int32Array(8).fill(1) });
      await prior.dispose();
      return bits;
    };
    const [float32, int8] = [await bitsIn(OPTIONS), await bitsIn(INT8)];
    expect(int8).not.toBe(float32);
    expect(Math.abs(int8 - float32)).toBeLessThan(0.01 * float32);
  });
});

test.each(["causal", "pixelcnn"])(
  "at temperature 0 the %s prior takes what the training code's full pass finds likeliest",
  async (objective) => {
    await tf.setBackend("cpu");
    const config = tinyPrior({ objective });
    const prior = await loadPrior(await publishUntrained(config, temporary("prior")), OPTIONS);
    const { tokens } = await prior.sample({ count: 3, rng: Rng.fromSeed(3), temperature: 0, className: "y" });
    await prior.dispose();
    const { spec, values } = untrained(config).state;
    const inputs = objective === "causal" ? toCausalInputs(tokens, { codebookSize: 7, length: L }) : tokens;
    const ids = tf.tensor(inputs, [3, L], "int32");
    const input = { ids, classIds: tf.tensor1d([1, 1, 1], "int32") };
    const weights = toTensors(evaluationWeights(spec), evaluationWeights(values));
    const logits = networkOf(config).forward(weights, input);
    expect([...tf.argMax(logits, -1).dataSync()]).toEqual([...tokens]);
  },
);

test("a masked prior decodes in one step to one a token, and refuses any other number (2)", async () => {
  const prior = await loadPrior(
    await publishUntrained(tinyPrior({ objective: "masked" }), temporary("prior")),
    OPTIONS,
  );
  for (const steps of [1, 5, L]) {
    const { tokens } = await prior.sample({ count: 2, rng: Rng.fromSeed(1), steps });
    expect(tokens.every((token) => token >= 0 && token < 7)).toBe(true);
  }
  for (const steps of [0, L + 1, NaN])
    await expect(prior.sample({ count: 2, rng: Rng.fromSeed(1), steps })).rejects.toMatchObject({ exitCode: 2 });
  await prior.dispose();
});

describe("samplers of a masked prior", () => {
  let masked: Prior;
  beforeAll(async () => {
    masked = await loadPrior(await publishUntrained(tinyPrior({ objective: "masked" }), temporary("prior")), OPTIONS);
  });
  afterAll(() => masked.dispose());
  const request = { count: 3, rng: Rng.fromSeed(1) };

  test("it decodes with each of them, maskgit where none is named", async () => {
    const made = await Promise.all(SAMPLER_NAMES.map((sampler) => masked.sample({ ...request, sampler })));
    expect(new Set(made.map(({ tokens }) => tokens.join())).size).toBe(SAMPLER_NAMES.length);
    expect(made[SAMPLER_NAMES.indexOf("maskgit")]).toEqual(await masked.sample(request));
  });

  test.each<Partial<SampleRequest>>([
    { sampler: "halton", choiceTemperature: 1 },
    { sampler: "ancestral", choiceTemperature: 1 },
    { sampler: "halton", steps: L + 1 },
    { sampler: "ancestral", steps: 0 },
    { sampler: "raster" as "halton" },
    { sampler: "toString" as "halton" },
  ])("it refuses %j (2)", async (wrong) => {
    await expect(masked.sample({ ...request, ...wrong })).rejects.toMatchObject({ exitCode: 2 });
  });
});

/** logits [N, 16, 7] = 0·tokens + `row`, then `more` nodes from "sum" to "logits": no training code was near it. */
function handMade(row: readonly number[], more: readonly OnnxNode[], output = "logits"): Uint8Array {
  const constant = (name: string, type: Initializer["type"], data: Uint8Array, shape: number[]): Initializer => ({ name, type, shape, data }); // prettier-ignore
  const model: OnnxModel = {
    name: "by-hand",
    irVersion: 8,
    opsets: { "": 17 },
    producer: "somebody",
    inputs: [{ name: "tokens", type: "int64", shape: ["N", L] }],
    outputs: [{ name: output, type: "float32", shape: ["N", L, row.length] }],
    initializers: [
      constant("zero", "float32", bytesOf(Float32Array.of(0)), [1]),
      constant("last", "int64", bytesOf(BigInt64Array.of(-1n)), [1]),
      constant("row", "float32", bytesOf(Float32Array.from(row)), [row.length]),
    ],
    nodes: [
      { op: "Cast", name: "cast", inputs: ["tokens"], outputs: ["float"], attributes: { to: { kind: "int", value: 1 } } }, // prettier-ignore
      { op: "Mul", name: "mul", inputs: ["float", "zero"], outputs: ["nothing"] },
      { op: "Unsqueeze", name: "unsqueeze", inputs: ["nothing", "last"], outputs: ["column"] },
      { op: "Add", name: "add", inputs: ["column", "row"], outputs: ["sum"] },
      ...more,
    ],
  };
  return encodeModel(model);
}
const node = (op: string, inputs: readonly string[], output = "logits"): OnnxNode => ({ op, name: op, inputs, outputs: [output] }); // prettier-ignore

async function publishGraph(graph: Uint8Array, changes: Readonly<Record<string, JsonValue>> = {}): Promise<string> {
  const directory = temporary("by-hand");
  const config = { objective: "masked", codebookSize: 7, grid: [4, 4], classes: [], ...changes };
  await publishArtifact({ directory, kind: "prior", config, fingerprint: FINGERPRINT, files: { "prior.onnx": graph } });
  return directory;
}

describe("a graph of anybody's making", () => {
  const ROW = [0, 1, 2, 9, 4, 3, 2];

  test("with the signature and a manifest is a prior", async () => {
    const prior = await loadPrior(await publishGraph(handMade(ROW, [node("Identity", ["sum"])])), OPTIONS);
    const { tokens } = await prior.sample({ count: 2, rng: Rng.fromSeed(1), temperature: 0 });
    expect([...tokens]).toEqual(Array<number>(2 * L).fill(3));
    await prior.dispose();
  });

  test.each([
    ["NaN", node("Div", ["nothing3", "zero"])],
    ["infinity", node("Div", ["sum", "zero"])],
  ])("that answers %s is stopped while sampling (5), naming the image", async (_what, last) => {
    const zeros = node("Sub", ["sum", "sum"], "nothing3");
    const prior = await loadPrior(await publishGraph(handMade(ROW, [zeros, last])), OPTIONS);
    await expect(prior.sample({ count: 2, rng: Rng.fromSeed(1) })).rejects.toMatchObject({
      exitCode: 5,
      message: expect.stringMatching(/image 0/) as string,
    });
    await prior.dispose();
  });

  test("whose K is not its manifest's is refused (4) with both", async () => {
    const directory = await publishGraph(handMade(ROW, [node("Identity", ["sum"])]), { codebookSize: 8 });
    await expect(loadPrior(directory, OPTIONS)).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/8.*7/) as string,
    });
  });

  test("without a product with a constant matrix cannot be opened in int8 (2)", async () => {
    const directory = await publishGraph(handMade(ROW, [node("Identity", ["sum"])]));
    await expect(loadPrior(directory, INT8)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/nothing to quantize/) as string,
    });
  });

  test("with products of uint8 by int8 is refused (4) in either arithmetic where the processor gets them wrong", async () => {
    const directory = await publishGraph(edited(exported("masked", { classes: 0 }), withInt8Product));
    for (const options of [OPTIONS, INT8]) {
      const opened = loadPrior(directory, options);
      if (await saturatesPairs())
        await expect(opened).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(/prior\.onnx.*uint8 by int8/) as string }); // prettier-ignore
      else await (await opened).dispose();
    }
  });

  test("without logits is refused (4)", async () => {
    const directory = await publishGraph(handMade(ROW, [node("Identity", ["sum"], "scores")], "scores"));
    await expect(loadPrior(directory, OPTIONS)).rejects.toMatchObject({ exitCode: 4 });
  });

  test("of another grid or objective than its manifest says is refused (4) when it is sampled", async () => {
    const graph = handMade(ROW, [node("Identity", ["sum"])]);
    for (const changes of [{ grid: [4, 5] }, { objective: "causal" }]) {
      const prior = await loadPrior(await publishGraph(graph, changes), OPTIONS);
      await expect(prior.sample({ count: 1, rng: Rng.fromSeed(1) })).rejects.toMatchObject({ exitCode: 4 });
      await prior.dispose();
    }
  });

  test("whose cache is time first, as it once was, is refused (4), and how to publish it again is said", async () => {
    const whole = exported("causal", { classes: 0 });
    const isCache = (name: string): boolean => /^past_(keys|values)/.test(name);
    const timeFirst = edited(whole, ({ inputs, nodes, initializers }) => ({
      inputs: inputs
        .filter(({ name }) => name !== "past_length")
        .map((input) => (isCache(input.name) ? { ...input, shape: ["P", "N", 2, 8] } : input)),
      initializers: [...initializers, integers("past_length", [0])],
      nodes: [
        ...inputs
          .filter(({ name }) => isCache(name))
          .map(({ name }) => ({
            ...node("Transpose", [name], `${name}/turned`),
            name: `turn ${name}`,
            attributes: { perm: ints(1, 2, 0, 3) },
          })),
        ...nodes.map((old) => ({
          ...old,
          inputs: old.inputs.map((name) => (isCache(name) ? `${name}/turned` : name)),
        })),
      ],
    }));
    await expect(loadPrior(await publishGraph(timeFirst, { objective: "causal" }), OPTIONS)).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/\[N, H, R, Dh\], got past_keys_0 \[P, N, 2, 8\].*--resume --overwrite/) as string,
    });
  });

  test("that is no ONNX file is bad input (3)", async () => {
    const directory = await publishGraph(Uint8Array.of(1, 2, 3));
    await expect(loadPrior(directory, OPTIONS)).rejects.toMatchObject({ exitCode: 3 });
  });
});

describe("a folder that is no prior", () => {
  const load = (directory: string): Promise<Prior> => loadPrior(directory, OPTIONS);
  const published = (): Promise<string> => publishUntrained(tinyPrior({ objective: "masked" }), temporary("prior"));

  test("missing, or without a manifest (3)", async () => {
    await expect(load(temporary("nowhere"))).rejects.toMatchObject({ exitCode: 3 });
    const empty = temporary("empty");
    mkdirSync(empty);
    await expect(load(empty)).rejects.toMatchObject({ exitCode: 3 });
  });

  test("of another kind (4)", async () => {
    const directory = temporary("tokenizer");
    await publishArtifact({ directory, kind: "tokenizer", config: {}, files: {} });
    await expect(load(directory)).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/expected prior, got tokenizer/) as string,
    });
  });

  test("without its graph (3)", async () => {
    const directory = await published();
    rmSync(join(directory, "prior.onnx"));
    await expect(load(directory)).rejects.toMatchObject({ exitCode: 3 });
    const unlisted = temporary("unlisted");
    const config = { objective: "masked", codebookSize: 7, grid: [4, 4], classes: [] };
    await publishArtifact({ directory: unlisted, kind: "prior", config, fingerprint: FINGERPRINT, files: {} });
    await expect(load(unlisted)).rejects.toMatchObject({ exitCode: 3 });
  });

  test("with one changed byte anywhere in its graph (4)", async () => {
    const directory = await published();
    const path = join(directory, "prior.onnx");
    const bytes = readFileSync(path);
    for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(path, changed);
      await expect(load(directory)).rejects.toMatchObject({ exitCode: 4 });
    }
    writeFileSync(path, bytes.subarray(0, -1));
    await expect(load(directory)).rejects.toMatchObject({ exitCode: 4 });
  });
});
