/** Whole training runs at a tiny size: resuming, what stops them, and that what is published is what was trained. */
import { describe, expect, it } from "vitest";

import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import type { Arrays } from "../../shared/engine/engine.ts";
import { decodeModel } from "../../shared/onnx/read.ts";
import { checkModel } from "../../shared/onnx/check.ts";
import { Rng } from "../../shared/rng.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { exportGraphs } from "../../stage1-tokenizer/export.ts";
import { recordSet, type ImageRecord } from "../../stage1-tokenizer/images/index.ts";
import { evaluationState } from "../../stage1-tokenizer/model/tokenize.ts";
import { trainTokenizer, type TokenizerRun, type TrainTokenizerOptions } from "../../stage1-tokenizer/train.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
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

/** Aborts after `steps` finished steps: the reporter is told of each. */
function stopAfter(steps: number): Pick<TrainTokenizerOptions, "signal" | "reporter"> {
  const controller = new AbortController();
  const progress = (done: number): void => {
    if (done >= steps) controller.abort();
  };
  return { signal: controller.signal, reporter: { ...silentReporter, progress } };
}

async function weightsOf(run: TokenizerRun | Promise<TokenizerRun>): Promise<Arrays> {
  const finished = await run;
  if (finished.interrupted) throw new Error("The run should have finished.");
  return finished.state.values;
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
