/** Whole training runs at a tiny size: resuming, what stops them, and that what is published is what was trained. */
import { describe, expect, it } from "vitest";

import { openArtifact } from "../../shared/artifact.ts";
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import type { Arrays } from "../../shared/engine/engine.ts";
import { decodeModel } from "../../shared/onnx/read.ts";
import { checkModel } from "../../shared/onnx/check.ts";
import { Rng } from "../../shared/rng.ts";
import { decodeState } from "../../shared/train/checkpoint.ts";
import type { Metrics } from "../../shared/train/loop.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { BOTTLENECKS, makesTokens } from "../../stage1-tokenizer/config.ts";
import { scoreOf } from "../../stage1-tokenizer/evaluate.ts";
import { exportGraphs, publishTokenizer } from "../../stage1-tokenizer/export.ts";
import { type ImageRecord, iterateRecords, recordSet, splitSource } from "../../stage1-tokenizer/images/index.ts";
import { evaluationState } from "../../stage1-tokenizer/model/tokenize.ts";
import { trainTokenizer, type TokenizerRun, type TrainTokenizerOptions } from "../../stage1-tokenizer/train.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { type Finished, filesOf, finished, stopAfter } from "./runs.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const SIDE = 8;

function record(i: number): ImageRecord {
  const rng = Rng.fromSeed(i);
  const pixels = Uint8Array.from({ length: SIDE * SIDE * 3 }, () => rng.integer(256));
  return {
    key: `image-${i}`,
    family: String(i),
    read: () => Promise.resolve({ pixels, height: SIDE, width: SIDE, channels: 3 }),
  };
}
const training = Array.from({ length: 7 }, (_, i) => record(i));
const heldOut = Array.from({ length: 3 }, (_, i) => record(100 + i));

const train = (changes: Partial<TrainTokenizerOptions> = {}): Promise<TokenizerRun> =>
  trainTokenizer({
    config: tinyConfig({ steps: 12, batchSize: 3 }),
    training: recordSet(training),
    heldOut: recordSet(heldOut),
    engine: createOnnxEngine({ threads: 2 }),
    seed: 4,
    reporter: silentReporter,
    ...changes,
  });

async function weightsOf(run: TokenizerRun | Promise<TokenizerRun>): Promise<Arrays> {
  return (await finished(run)).state.values;
}

describe.each(["vq", "vq-ema"] as const)("a %s run", (bottleneck) => {
  const config = tinyConfig({ steps: 12, batchSize: 3, bottleneck });

  it("comes to the same state, byte for byte, wherever it was stopped and resumed", async () => {
    const whole = await weightsOf(train({ config }));
    for (const stop of [1, 4, 7, 11]) {
      const folder = { directory: temporary("run"), every: 5, resume: true };
      const first = await train({ config, folder, ...stopAfter(stop) });
      expect(first).toEqual({ interrupted: true, step: stop });
      expect(await weightsOf(train({ config, folder }))).toEqual(whole);
    }
  });

  it("differs for another seed", async () => {
    expect(await weightsOf(train({ config }))).not.toEqual(await weightsOf(train({ config, seed: 5 })));
  });
});

describe("a run", () => {
  it("refuses the checkpoint of another configuration, seed or data set", async () => {
    const folder = { directory: temporary("run"), every: 5, resume: true };
    await train({ folder, ...stopAfter(2) });
    await expect(train({ folder, seed: 5 })).rejects.toMatchObject({ code: "mismatch" });
    await expect(train({ folder, training: recordSet(training.slice(1)) })).rejects.toMatchObject({ code: "mismatch" });
    const config = tinyConfig({ steps: 12, batchSize: 3, learningRate: 0.1 });
    await expect(train({ folder, config })).rejects.toMatchObject({ code: "mismatch" });
  });

  it("keeps the last good checkpoint when the loss stops being finite, and says step and images", async () => {
    const folder = { directory: temporary("run"), every: 1, resume: true };
    const config = tinyConfig({ steps: 40, batchSize: 3, learningRate: 1e30 });
    await expect(train({ config, folder })).rejects.toMatchObject({
      code: "numerical",
      message: expect.stringMatching(/step \d+.*image-/s) as string,
    });
  });

  it("measures every held-out image once, whatever the batch", async () => {
    const [three, two] = [await train(), await train({ config: tinyConfig({ steps: 12, batchSize: 2 }) })];
    if (three.interrupted || two.interrupted) throw new Error("Nothing interrupted.");
    // Other batches train other weights; what must agree is the variance of the originals: mse / nmse.
    const varianceOf = ({ mse = NaN, nmse = NaN }): number => mse / nmse;
    expect(varianceOf(two.figures)).toBeCloseTo(varianceOf(three.figures), 6);
  });

  it("keeps the number of steps that a time came to when it is resumed", async () => {
    const folder = { directory: temporary("timed"), every: 5, resume: true };
    const first = await train({ folder, seconds: 1, ...stopAfter(3) });
    expect(first).toEqual({ interrupted: true, step: 3 });
    const second = await train({ folder, seconds: 1000 });
    if (second.interrupted) throw new Error("The run should have finished.");
    expect(second.step).toBe(second.config.steps);
    expect(second.step).toBeLessThan(100_000);
  });
});

it("exports graphs of standard operators with the weights inside and the batch size open", async () => {
  const run = await train();
  if (run.interrupted) throw new Error("Nothing interrupted.");
  const state = { spec: evaluationState(run.state.spec), values: evaluationState(run.state.values) };
  const { encoder, decoder } = exportGraphs(run.config, state);
  for (const [name, bytes] of Object.entries({ encoder, decoder })) {
    const model = decodeModel(bytes, name);
    expect(() => checkModel(model)).not.toThrow();
    expect(model.opsets).toEqual({ "": 17 });
    expect([...model.inputs, ...model.outputs].map(({ shape }) => shape[0])).toEqual(["N", "N"]);
  }
  expect(decodeModel(encoder, "encoder").inputs).toMatchObject([
    { name: "image", type: "uint8", shape: ["N", 8, 8, 3] },
  ]);
  expect(decodeModel(encoder, "encoder").outputs).toMatchObject([
    { name: "tokens", type: "int64", shape: ["N", 4, 4] },
  ]);
  expect(decodeModel(decoder, "decoder").outputs).toMatchObject([
    { name: "image", type: "uint8", shape: ["N", 8, 8, 3] },
  ]);
});

describe.each(BOTTLENECKS)("a %s run", (bottleneck) => {
  const config = tinyConfig({ steps: 12, batchSize: 3, bottleneck, ...(bottleneck === "fsq" && { levels: [2, 4] }) });

  it("comes to finite weights, which are published with its figures", async () => {
    const run = await finished(train({ config }));
    expect(run.step).toBe(12);
    expect(Object.values(run.state.values).every((values) => values.every(Number.isFinite))).toBe(true);
    expect(Object.values(run.figures).every(Number.isFinite)).toBe(true);
    expect(run.state.values["step"]?.[0]).toBe(12);
    const directory = temporary("published");
    const fingerprint = await publishTokenizer(run, { directory });
    const artifact = await openArtifact(directory, { kind: makesTokens(config) ? "tokenizer" : "autoencoder" });
    await artifact.verify();
    expect(artifact.manifest).toMatchObject({ fingerprint, config, provenance: { metrics: run.figures } });
    expect(run.rangeImages?.length).toBe(makesTokens(config) ? heldOut.length * SIDE * SIDE * 3 : undefined);
    expect(Object.hasOwn(artifact.manifest.files, "ranges.json")).toBe(makesTokens(config));
    const { values } = decodeState(await artifact.read("model.safetensors"), "model.safetensors");
    expect(values).toEqual(evaluationState(run.state.values));
  });
});

/** Stops after each of `stops` and goes on, to the end. */
async function inPieces(stops: readonly number[], changes: Partial<TrainTokenizerOptions>): Promise<Finished> {
  for (const stop of stops)
    expect(await train({ ...changes, ...stopAfter(stop) })).toEqual({ interrupted: true, step: stop });
  return finished(train(changes));
}

describe.each(["gumbel", "reinforce", "gaussian"] as const)(
  "a %s run, which draws noise, on varied images",
  (bottleneck) => {
    const augmentation = { augmentFlip: true, augmentCrop: 2 };
    const config = tinyConfig({ steps: 8, batchSize: 3, bottleneck, ...augmentation });

    it("comes to the same state and files, byte for byte, wherever it was stopped and resumed", async () => {
      const options = { config, evaluateEvery: 3 };
      const [whole, broken] = [temporary("whole"), temporary("broken")];
      const folder = (directory: string) => ({ folder: { directory, every: 3, resume: true } });
      const expected = await finished(train({ ...options, ...folder(whole) }));
      const resumed = await inPieces([2, 6], { ...options, ...folder(broken) });
      expect(resumed.state.values).toEqual(expected.state.values);
      expect(resumed.figures).toEqual(expected.figures);
      expect(filesOf(broken)).toEqual(filesOf(whole));
      expect(Object.keys(filesOf(whole))).toEqual(["best.safetensors", "last.safetensors", "metrics.jsonl"]);
    });

    it("is another one without the augmentation", async () => {
      const plain = tinyConfig({ steps: 8, batchSize: 3, bottleneck });
      expect(await weightsOf(train({ config: plain }))).not.toEqual(await weightsOf(train({ config })));
    });
  },
);

describe("a run on a source that does not fit the shuffle buffer", () => {
  const all = Array.from({ length: 14 }, (_, i) => record(i));
  const source = { name: "made-up", classes: [], records: () => iterateRecords(all) };

  it("comes to the same state and files through ten stops", async () => {
    const { training: set, heldOut: rest } = await splitSource(source, { heldOutFraction: 0.2, salt: "x" });
    const [count, shuffleBuffer, steps] = [set.count, 4, 24];
    expect(count).toBeGreaterThan(shuffleBuffer);
    expect(rest.count).toBeGreaterThan(0);
    const config = tinyConfig({ steps, batchSize: 3, bottleneck: "vq-ema" }); // six epochs or so
    const options = { config, training: set, heldOut: rest, shuffleBuffer, evaluateEvery: 7 };
    const order = Rng.fromSeed(21).permutation(steps - 1);
    const stops = [...order.subarray(0, 10)].map((stop) => stop + 1).sort((a, b) => a - b);
    const [whole, broken] = [temporary("whole"), temporary("broken")];
    const expected = await finished(train({ ...options, folder: { directory: whole, every: 5, resume: true } }));
    const resumed = await inPieces(stops, { ...options, folder: { directory: broken, every: 5, resume: true } });
    expect(resumed.state.values).toEqual(expected.state.values);
    expect(filesOf(broken)).toEqual(filesOf(whole));
    const other = train({ ...options, shuffleBuffer: 5, folder: { directory: broken, every: 5, resume: true } });
    await expect(other).rejects.toMatchObject({ code: "mismatch" });
  });
});

describe("the state that is kept", () => {
  const config = tinyConfig({ steps: 12, batchSize: 3, bottleneck: "none", learningRate: 0.1 });

  it("is the best on the held-out images, if asked for, and that is what is published", async () => {
    const seen = new Map<number, Metrics>();
    const onEvaluation = (step: number, figures: Metrics): void => void seen.set(step, figures);
    const options = { config, evaluateEvery: 2, onEvaluation };
    const last = await finished(train(options));
    const best = await finished(train({ ...options, keep: "best" }));
    const scores = [...seen].map(([step, figures]) => [step, scoreOf(figures)] as const);
    const [lowest] = scores.reduce((low, next) => (next[1] < low[1] ? next : low));
    expect(scores.map(([step]) => step)).toEqual([2, 4, 6, 8, 10, 12]);
    expect(lowest).toBeLessThan(12); // or this test shows nothing
    expect([last.step, best.step]).toEqual([12, lowest]);
    expect([last.figures, best.figures]).toEqual([seen.get(12), seen.get(lowest)]);
    expect(best.state.values).toEqual(await weightsOf(train({ config: { ...config, steps: lowest } })));

    const directory = temporary("published");
    await publishTokenizer(best, { directory });
    const artifact = await openArtifact(directory);
    const { values } = decodeState(await artifact.read("model.safetensors"), "model.safetensors");
    expect(values).toEqual(evaluationState(best.state.values));

    const folder = { directory: temporary("run"), every: 5, resume: true };
    const resumed = await inPieces([11], { ...options, keep: "best", folder });
    expect(resumed).toEqual(best);
  });

  it("can be published where the held-out images are one plain colour: no variance to measure the error by", async () => {
    const pixels = new Uint8Array(SIDE * SIDE * 3).fill(77);
    const read: ImageRecord["read"] = () => Promise.resolve({ pixels, height: SIDE, width: SIDE, channels: 3 });
    const flat = recordSet([{ key: "flat", family: "flat", read }]);
    const folder = { directory: temporary("run"), every: 5, resume: true };
    const run = await finished(train({ config, heldOut: flat, keep: "best", evaluateEvery: 4, folder }));
    expect(run.figures.nmse).toBe(Infinity);
    expect(run.step).toBe(4);
    await publishTokenizer(run, { directory: temporary("published") });
  });
});
