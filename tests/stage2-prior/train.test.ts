/** Whole prior runs on token sets of a few bytes: learning, resuming, refusing; and the published graphs against the training code. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

import { beforeAll, describe, expect, it } from "vitest";

import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { createTfjsEngine } from "../../shared/engine/tfjs-engine.ts";
import type { tf } from "../../shared/engine/tf.ts";
import type { Arrays } from "../../shared/engine/engine.ts";
import { createSession } from "../../shared/onnx/session.ts";
import { Rng } from "../../shared/rng.ts";
import { createTokenWriter, openTokens, type TokenSet } from "../../shared/token-file/index.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { exportCausal, exportFullGrid } from "../../stage2-prior/export.ts";
import { networkOf } from "../../stage2-prior/model/index.ts";
import {
  createCausalNetwork,
  createFullPass,
  createMaskedNetwork,
  createRasterNetwork,
} from "../../stage2-prior/networks.ts";
import type { LearntObjective } from "../../stage2-prior/signature.ts";
import { trainPrior, type PriorRun, type TrainPriorOptions } from "../../stage2-prior/train.ts";
import { evaluationWeights, initialPriorState } from "../../stage2-prior/training-step.ts";
import { toCausalInputs, toIds } from "../../stage2-prior/vocabulary.ts";
import { UNKNOWN } from "../../shared/tokens.ts";
import { relativeError } from "../parity/compare.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { pythonWith } from "../shared/onnx/models.ts";
import { tinyPrior } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const LENGTH = 16;

/** Grids that count upwards from a random start: after the first token nothing is left to chance. */
async function writeTokens(count: number, changes: { fingerprint?: string; seed?: number } = {}): Promise<TokenSet> {
  const directory = temporary("tokens");
  const { fingerprint = "a".repeat(64), seed = 0 } = changes;
  const header = {
    fingerprint,
    preprocessing: {},
    grid: [4, 4] as [number, number],
    codebookSize: 7,
    classes: ["x", "y", "z"],
  };
  const writer = await createTokenWriter({ directory, header });
  for (let i = 0; i < count; i++) {
    const start = Rng.fromSeed(seed).fork(i).integer(7);
    await writer.append({
      key: `k${i}`,
      label: i % 3,
      tokens: Int32Array.from({ length: LENGTH }, (_, at) => (start + at) % 7),
    });
  }
  await writer.finish();
  return openTokens(directory);
}

let training: TokenSet;
let heldOut: TokenSet;
beforeAll(async () => {
  [training, heldOut] = [await writeTokens(9), await writeTokens(5, { seed: 1 })];
});

const train = (changes: Partial<TrainPriorOptions> = {}): Promise<PriorRun> =>
  trainPrior({
    config: tinyPrior({ steps: 12 }),
    training,
    heldOut,
    engine: createOnnxEngine({ threads: 2 }),
    seed: 4,
    reporter: silentReporter,
    ...changes,
  });

function stopAfter(steps: number): Pick<TrainPriorOptions, "signal" | "reporter"> {
  const controller = new AbortController();
  const progress = (done: number): void => {
    if (done >= steps) controller.abort();
  };
  return { signal: controller.signal, reporter: { ...silentReporter, progress } };
}

async function finished(run: Promise<PriorRun>): Promise<Extract<PriorRun, { interrupted: false }>> {
  const end = await run;
  if (end.interrupted) throw new Error("The run should have finished.");
  return end;
}

describe("trainPrior", () => {
  it.each([
    { objective: "causal", steps: 300, width: 32 },
    { objective: "pixelcnn", steps: 150, width: 16 },
  ])("learns what can be known, $objective: counting costs one uniform token in sixteen", async (learner) => {
    const config = tinyPrior({ ...learner, weightEmaDecay: 0.9 });
    const { bitsPerToken } = await finished(train({ config }));
    const floor = Math.log2(7) / LENGTH;
    expect(bitsPerToken).toBeGreaterThan(floor * 0.9);
    expect(bitsPerToken).toBeLessThan(0.8); // uniform would cost 2.8; first tokens are few, and some held-out ones were never seen first
  });

  it.each(["causal", "masked"] as const)(
    "comes to the same %s state, byte for byte, wherever it was stopped and resumed",
    async (objective) => {
      const config = tinyPrior({ steps: 12, objective, dropout: 0.2, labelDrop: 0.3 });
      const whole = (await finished(train({ config }))).state.values;
      for (const stop of [1, 5, 10]) {
        const folder = { directory: temporary("run"), every: 4, resume: true };
        expect(await train({ config, folder, ...stopAfter(stop) })).toEqual({ interrupted: true, step: stop });
        expect((await finished(train({ config, folder }))).state.values).toEqual(whole);
      }
    },
  );

  it("refuses the checkpoint of another run", async () => {
    const folder = { directory: temporary("run"), every: 4, resume: true };
    await train({ folder, ...stopAfter(2) });
    await expect(train({ folder, seed: 5 })).rejects.toMatchObject({ code: "mismatch" });
    await expect(train({ folder, training: heldOut })).rejects.toMatchObject({ code: "mismatch" });
    for (const changes of [{ learningRate: 2e-2 }, { dropout: 0.1 }, { objective: "masked" }, { steps: 13 }])
      await expect(
        train({ folder, config: tinyPrior({ steps: 12, ...changes }) }),
        JSON.stringify(changes),
      ).rejects.toMatchObject({ code: "mismatch" });
  });

  it("goes on beyond its steps where the rate does not depend on them", async () => {
    const config = (steps: number) => tinyPrior({ steps, schedule: "constant" });
    const folder = { directory: temporary("run"), every: 5, resume: true };
    await finished(train({ config: config(5), folder }));
    const longer = await finished(train({ config: config(9), folder }));
    expect(longer.state.values).toEqual((await finished(train({ config: config(9) }))).state.values);
  });

  it("stops at a loss that is not finite (5), naming step and images", async () => {
    const config = tinyPrior({ steps: 40, learningRate: 1e30, warmupSteps: 0, clipNorm: 1e30 });
    await expect(train({ config })).rejects.toMatchObject({
      exitCode: 5,
      message: expect.stringMatching(/step \d+.*k\d/s) as string,
    });
  });

  it("refuses held-out tokens of another tokenizer", async () => {
    const other = await writeTokens(3, { fingerprint: "b".repeat(64) });
    await expect(train({ heldOut: other })).rejects.toMatchObject({ code: "mismatch" });
  });

  it("measures each held-out row once, whatever the batch", async () => {
    const one = await finished(
      train({ config: tinyPrior({ steps: 3, learningRate: 1e-12, batchSize: 1, weightDecay: 0 }) }),
    );
    const four = await finished(
      train({ config: tinyPrior({ steps: 3, learningRate: 1e-12, batchSize: 4, weightDecay: 0 }) }),
    );
    expect(four.bitsPerToken).toBeCloseTo(one.bitsPerToken, 4);
  });

  it("bounds the bits of a diffusion from above: an untrained one's are near uniform, then they fall, never below what is left to chance", async () => {
    const bits = async (steps: number): Promise<number> => {
      const config = tinyPrior({ objective: "diffusion", steps, width: 32, batchSize: 4, weightEmaDecay: 0.9 });
      return (await finished(train({ config }))).bitsPerToken;
    };
    expect(Math.abs((await bits(3)) - Math.log2(7))).toBeLessThan(0.3);
    const learnt = await bits(150);
    expect(learnt).toBeGreaterThan((Math.log2(7) / LENGTH) * 0.9);
    expect(learnt).toBeLessThan(2.3);
  });

  it("holds out the last rows where there is no held-out set", async () => {
    const { interrupted } = await trainPrior({
      config: tinyPrior({ steps: 4 }),
      training,
      engine: createOnnxEngine({ threads: 2 }),
      seed: 0,
      reporter: silentReporter,
    });
    expect(interrupted).toBe(false);
  });
});

describe("published graphs", () => {
  const weightsFor = (objective: LearntObjective, classes: number) => {
    const config = tinyPrior({ objective, classes });
    const state = initialPriorState(config, Rng.fromSeed(2));
    return { config, weights: { spec: evaluationWeights(state.spec), values: evaluationWeights(state.values) } };
  };
  const tokens = Int32Array.from({ length: 3 * LENGTH }, (_, i) => Rng.fromSeed(i).integer(7));

  /** The training code's logits on the oracle. */
  async function reference(
    objective: LearntObjective,
    classes: number,
    arrays: { ids: Int32Array; classIds: Int32Array },
  ): Promise<Float32Array> {
    const { config, weights } = weightsFor(objective, classes);
    const oracle = await createTfjsEngine("oracle");
    const spec = { ids: { shape: [3, LENGTH], dtype: "int32" }, classIds: { shape: [3], dtype: "int32" } } as const;
    const fn = await oracle.compile(
      (inputs) => ({
        logits: networkOf(config).forward(inputs, inputs as { ids: tf.Tensor; classIds: tf.Tensor } & typeof inputs),
      }),
      { ...spec, ...weights.spec },
    );
    const { logits } = await fn.run({ ...arrays, ...(weights.values as Arrays) });
    return logits as Float32Array;
  }

  it.each([0, 3])("masked, %d classes: any batch, the same logits", async (classes) => {
    const { config, weights } = weightsFor("masked", classes);
    const session = await createSession(exportFullGrid(config, weights), { threads: 2 });
    const shown = tokens.map((token, i) => (i % 3 === 0 ? UNKNOWN : token));
    const classIds = Int32Array.of(classes, 0, Math.min(1, classes));
    const got = await createMaskedNetwork(session, { codebookSize: 7, classIds })(shown);
    expect(relativeError(got, await reference("masked", classes, { ids: toIds(shown, 7), classIds }))).toBeLessThan(
      1e-5,
    );
    await session.dispose();
  });

  it.each([
    [0, Array<number>(16).fill(1)],
    [3, Array<number>(16).fill(1)],
    [3, [5, 1, 7, 3]],
  ] as const)(
    "causal, %d classes, fed in pieces %j from an empty cache: the logits of the full pass",
    async (classes, pieces) => {
      const { config, weights } = weightsFor("causal", classes);
      const graph = exportCausal(config, weights);
      const session = await createSession(graph, { threads: 2 });
      const classIds = Int32Array.of(classes, 0, Math.min(2, classes));
      const network = createCausalNetwork(session, { codebookSize: 7, length: LENGTH, classIds });
      const ids = toCausalInputs(tokens, { codebookSize: 7, length: LENGTH });
      const full = await reference("causal", classes, { ids, classIds });
      let at = 0;
      for (const size of pieces) {
        const previous = Int32Array.from({ length: 3 * size }, (_, i) => {
          const id = ids[Math.floor(i / size) * LENGTH + at + (i % size)] ?? 0;
          return id === 7 ? UNKNOWN : id;
        });
        const got = await network(previous);
        at += size;
        const expected = new Float32Array(3 * 7);
        for (let row = 0; row < 3; row++)
          expected.set(full.subarray((row * LENGTH + at - 1) * 7, (row * LENGTH + at) * 7), row * 7);
        expect(relativeError(got, expected), `position ${at - 1}`).toBeLessThan(1e-5);
      }
      const whole = await createFullPass(session, { codebookSize: 7, length: LENGTH })(ids, classIds);
      expect(relativeError(whole, full)).toBeLessThan(1e-5);
      await session.dispose();
    },
  );

  it("causal, on a grid that outgrows the cache's first room: the logits of the full pass", async () => {
    const [config, length] = [tinyPrior({ objective: "causal", grid: [10, 14], classes: 0 }), 140];
    const state = initialPriorState(config, Rng.fromSeed(2));
    const graph = exportCausal(config, {
      spec: evaluationWeights(state.spec),
      values: evaluationWeights(state.values),
    });
    const session = await createSession(graph, { threads: 2 });
    const classIds = Int32Array.of(0, 0);
    const drawn = Int32Array.from({ length: 2 * length }, (_, i) => Rng.fromSeed(i).integer(7));
    const ids = toCausalInputs(drawn, { codebookSize: 7, length });
    const full = await createFullPass(session, { codebookSize: 7, length })(ids, classIds);
    const network = createCausalNetwork(session, { codebookSize: 7, length, classIds });
    let at = 0;
    for (const size of [60, ...Array<number>(10).fill(1), 56, ...Array<number>(14).fill(1)]) {
      const piece = [0, 1].flatMap((row) => [...ids.subarray(row * length + at, row * length + at + size)]);
      const got = await network(Int32Array.from(piece, (id) => (id === 7 ? UNKNOWN : id)));
      at += size;
      const last = [0, 1].flatMap((row) => [...full.subarray((row * length + at - 1) * 7, (row * length + at) * 7)]);
      expect(relativeError(got, Float32Array.from(last)), `position ${at - 1}`).toBeLessThan(1e-5);
    }
    expect(at).toBe(length);
    await session.dispose();
  });

  it.each([
    [0, Array<number>(16).fill(1)],
    [3, [5, 1, 7, 3]],
  ] as const)(
    "pixelcnn, %d classes, asked in raster order %j: the logits of the full pass",
    async (classes, pieces) => {
      const { config, weights } = weightsFor("pixelcnn", classes);
      const session = await createSession(exportFullGrid(config, weights), { threads: 2 });
      const classIds = Int32Array.of(classes, 0, Math.min(2, classes));
      const network = createRasterNetwork(session, { codebookSize: 7, length: LENGTH, classIds });
      const full = await reference("pixelcnn", classes, { ids: tokens, classIds });
      let at = 0;
      for (const size of pieces) {
        const previous = Int32Array.from({ length: 3 * size }, (_, i) => {
          const position = at + (i % size) - 1;
          return position < 0 ? UNKNOWN : (tokens[Math.floor(i / size) * LENGTH + position] ?? UNKNOWN);
        });
        const got = await network(previous);
        at += size;
        const expected = [0, 1, 2].flatMap((row) => [
          ...full.subarray((row * LENGTH + at - 1) * 7, (row * LENGTH + at) * 7),
        ]);
        expect(relativeError(got, Float32Array.from(expected)), `position ${at - 1}`).toBeLessThan(1e-5);
      }
      await session.dispose();
    },
  );

  const python = pythonWith("onnx");
  it.skipIf(python === undefined)("are accepted by Python's onnx checker (skipped where no Python has onnx)", () => {
    for (const [objective, exporter] of [
      ["causal", exportCausal],
      ["masked", exportFullGrid],
      ["pixelcnn", exportFullGrid],
    ] as const) {
      // prettier-ignore
      const { config, weights } = weightsFor(objective, 3);
      const path = temporary(`${objective}.onnx`);
      writeFileSync(path, exporter(config, weights));
      const script = `import onnx; onnx.checker.check_model(onnx.load("${path}"), full_check=True)`;
      const { status, stderr } = spawnSync(python ?? "", ["-c", script], { encoding: "utf8" });
      expect(status, stderr).toBe(0);
    }
  });
});
