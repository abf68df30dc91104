/**
 * The folder of a run: what is kept there, and that a run stopped or broken anywhere and resumed leaves the files and the best state of an
 * uninterrupted one. The model is a number that moves; the loop is the real one.
 */
import { existsSync, appendFileSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Arrays, Trainer } from "../../../shared/engine/engine.ts";
import { Rng } from "../../../shared/rng.ts";
import { loadCheckpoint } from "../../../shared/train/checkpoint.ts";
import { runLoop, type Metrics } from "../../../shared/train/loop.ts";
import { silentReporter } from "../../../shared/train/reporter.ts";
import { keepRun, lastCheckpoint, startingPoint, stepsForTime, type BestState } from "../../../shared/train/run.ts";
import { useTemporaryDirectory } from "../temporary-directory.ts";

const temporary = useTemporaryDirectory();
const SPEC = { weight: { shape: [1], dtype: "float32" } } as const;

/** weight ← 0.9 · weight + draw(step) */
function createTrainer(start: Arrays): Pick<Trainer, "step" | "state"> {
  let weight = start["weight"]?.[0] ?? NaN;
  return {
    step: async ({ x }) => {
      weight = Math.fround(0.9 * weight + (x?.[0] ?? NaN));
      return { loss: Float32Array.of(weight), other: Float32Array.of(-weight) };
    },
    state: async () => ({ weight: Float32Array.of(weight) }),
  };
}

interface Run {
  readonly directory?: string;
  readonly steps?: number;
  readonly evaluateEvery?: number;
  readonly checkpointEvery?: number;
  readonly resume?: boolean;
  readonly fingerprint?: string;
  /** Held-out figures after a step; by default the weight's distance from 5. */
  readonly figures?: (step: number, weight: number) => Metrics;
  /** Asks to stop during the step that ends as this one, or breaks down in it. */
  readonly stopAfter?: number;
  readonly breakIn?: number;
}

interface Ended {
  readonly end: Arrays;
  readonly best: BestState | undefined;
  readonly step: number;
}

async function start(run: Run): Promise<Ended> {
  const { steps = 30, fingerprint = "f".repeat(64), resume = true, stopAfter, breakIn } = run;
  const { figures = (_step, weight) => ({ nmse: Math.abs(weight - 5) }) } = run;
  const folder =
    run.directory === undefined ? undefined : { directory: run.directory, every: run.checkpointEvery ?? 5, resume };
  const point = await startingPoint({
    label: "toy",
    folder,
    configFingerprint: fingerprint,
    fresh: async () => ({ spec: SPEC, values: { weight: Float32Array.of(1) } }),
    reporter: silentReporter,
  });
  const trainer = createTrainer(point.state.values);
  const controller = new AbortController();
  const kept = await keepRun(folder, {
    spec: SPEC,
    configFingerprint: fingerprint,
    steps,
    firstStep: point.step,
    evaluation: {
      every: run.evaluateEvery ?? 4,
      run: async ({ weight }, step) => figures(step, weight?.[0] ?? NaN),
      score: ({ nmse }) => nmse ?? Infinity,
    },
  });
  const { step } = await runLoop({
    trainer,
    batch: async (at) => ({ arrays: { x: Float32Array.of(Rng.fromSeed(9).fork(at).uniform()) }, keys: [`${at}`] }),
    firstStep: point.step,
    steps,
    reporter: silentReporter,
    label: "toy",
    signal: controller.signal,
    ...kept.options,
    onStep: (at, metrics) => {
      kept.options.onStep?.(at, metrics);
      if (at + 1 === breakIn) throw new Error("broke down");
      if (at + 1 === stopAfter) controller.abort();
    },
  });
  return { end: await trainer.state(), best: kept.best(), step };
}

/** Ends as asked, however that is. */
const halt = async (run: Run): Promise<void> => {
  if (run.breakIn === undefined) await start(run);
  else await expect(start(run)).rejects.toThrow("broke down");
};
const filesOf = (directory: string): Record<string, string> =>
  Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), "latin1")]));
const table =
  (scores: Readonly<Record<number, number>>) =>
  (step: number): Metrics => ({ nmse: scores[step] ?? NaN, psnr: step });

describe("the best state", () => {
  const scores = table({ 4: 0.5, 8: 0.3, 12: 0.4, 16: 0.3, 20: 0.9, 24: 0.31, 28: 0.7, 30: 0.6 });

  test("is the first with the lowest score, in memory and in the folder", async () => {
    const directory = temporary("run");
    const [{ best }, there] = [await start({ figures: scores }), await start({ figures: scores, directory })];
    expect(best).toMatchObject({ step: 8, heldOut: { nmse: 0.3, psnr: 8 } });
    expect(there.best).toEqual(best);
    const stopped = await start({ figures: scores, steps: 8 });
    expect(best?.values).toEqual(stopped.end);
    const file = await loadCheckpoint(join(directory, "best.safetensors"));
    expect(file).toMatchObject({
      step: 8,
      state: stopped.end,
      metadata: { heldOut: { nmse: 0.3, psnr: 8 }, steps: 30 },
    });
  });

  test("is unknown before the first evaluation, and without one", async () => {
    const kept = await keepRun(undefined, { spec: SPEC, configFingerprint: "", steps: 3, firstStep: 0 });
    expect(kept.best()).toBeUndefined();
    expect(kept.options).toEqual({});
    expect((await start({ stopAfter: 3 })).best).toBeUndefined();
  });

  test("survives a resume", async () => {
    const directory = temporary("run");
    await halt({ figures: scores, directory, stopAfter: 13 });
    const { best } = await start({ figures: scores, directory });
    expect(best).toEqual((await start({ figures: scores })).best);
  });

  test("from beyond the resumed step is not known yet, and found again", async () => {
    const directory = temporary("run");
    await halt({ figures: scores, directory, breakIn: 9 });
    expect((await loadCheckpoint(join(directory, "best.safetensors"))).step).toBe(8);
    expect((await loadCheckpoint(lastCheckpoint(directory))).step).toBe(5);
    expect((await start({ figures: scores, directory, stopAfter: 7 })).best).toBeUndefined();
    expect((await start({ figures: scores, directory })).best).toEqual((await start({ figures: scores })).best);
  });

  test("of another run is none: neither for a fresh one nor for one with another configuration", async () => {
    const directory = temporary("run");
    await start({ figures: table({ 4: -9 }), directory });
    const { best } = await start({ figures: scores, directory, resume: false });
    expect(best?.step).toBe(8);
    const other = { figures: scores, directory, fingerprint: "e".repeat(64) };
    await halt({ ...other, resume: false, stopAfter: 3 });
    expect((await start({ ...other, stopAfter: 7 })).best).toMatchObject({ step: 4 });
  });

  test("is no number only while there is none", async () => {
    const { best } = await start({
      figures: table({ 4: NaN, 8: 7, 12: NaN, 16: 5, 20: 6, 24: NaN, 28: Infinity, 30: NaN }),
    });
    expect(best?.step).toBe(16);
  });

  test("may have figures that JSON has no number for, and is resumed with the others", async () => {
    const directory = temporary("run");
    const figures = (): Metrics => ({ nmse: Infinity, psnr: 3, mse: NaN });
    await halt({ figures, directory, stopAfter: 13 });
    const { best } = await start({ figures, directory });
    expect(best).toMatchObject({ step: 4, heldOut: { psnr: 3 } });
  });

  test("is never one that is not finite: the run ends with a numerical error (5) before it is measured", async () => {
    const directory = temporary("run");
    mkdirSync(directory, { recursive: true });
    const kept = await keepRun(
      { directory, every: 100, resume: false },
      {
        spec: SPEC,
        configFingerprint: "",
        steps: 4,
        firstStep: 0,
        evaluation: { every: 2, run: async () => ({ nmse: 0 }), score: ({ nmse }) => nmse ?? Infinity },
      },
    );
    const run = runLoop({
      trainer: {
        step: async () => ({ loss: Float32Array.of(1) }),
        state: async () => ({ weight: Float32Array.of(NaN) }),
      },
      batch: async () => ({ arrays: {}, keys: [] }),
      firstStep: 0,
      steps: 4,
      reporter: silentReporter,
      label: "toy",
      ...kept.options,
    });
    await expect(run).rejects.toMatchObject({ exitCode: 5 });
    expect(readdirSync(directory)).toEqual(["metrics.jsonl"]);
  });
});

describe("a run that was stopped or broke down, and was resumed", () => {
  const stops = fc.record({
    at: fc.array(fc.integer({ min: 1, max: 29 }), { minLength: 1, maxLength: 3 }),
    breaks: fc.boolean(),
    evaluateEvery: fc.integer({ min: 1, max: 12 }),
    checkpointEvery: fc.integer({ min: 1, max: 12 }),
    torn: fc.constantFrom("", '{"st', '{"step":29,"loss":1}', '{"step":30,"heldOut":{"nmse":0}'),
  });

  test("leaves the files of an uninterrupted one, byte for byte, and its best state", async () => {
    await fc.assert(
      fc.asyncProperty(stops, async ({ at, breaks, torn, ...every }) => {
        const [whole, broken] = [temporary("whole"), temporary("broken")];
        const expected = await start({ directory: whole, ...every });
        for (const step of [...at].sort((a, b) => a - b)) {
          // A stop before the checkpoint that a breakdown fell back to never comes.
          const from = existsSync(lastCheckpoint(broken)) ? (await loadCheckpoint(lastCheckpoint(broken))).step : 0;
          if (step <= from) continue;
          await halt({ directory: broken, ...every, ...(breaks ? { breakIn: step } : { stopAfter: step }) });
          appendFileSync(join(broken, "metrics.jsonl"), torn);
        }
        const resumed = await start({ directory: broken, ...every });
        expect(resumed).toEqual(expected);
        expect(filesOf(broken)).toEqual(filesOf(whole));
      }),
      { numRuns: 12, seed: 5 },
    );
  });

  test("has all the lines there are to have", async () => {
    const directory = temporary("run");
    await halt({ directory, stopAfter: 8 });
    await start({ directory });
    const lines = readFileSync(join(directory, "metrics.jsonl"), "utf8").trim().split("\n");
    const entries = lines.map((line) => JSON.parse(line) as { step: number; heldOut?: Metrics });
    const steps = (heldOut: boolean): number[] =>
      entries.filter((entry) => (entry.heldOut !== undefined) === heldOut).map(({ step }) => step);
    expect(steps(false)).toEqual([10, 20, 30]);
    expect(steps(true)).toEqual([4, 8, 12, 16, 20, 24, 28, 30]);
    expect(entries.map(({ step }) => step)).toEqual(entries.map(({ step }) => step).sort((a, b) => a - b));
  });

  test("that had finished changes nothing", async () => {
    const directory = temporary("run");
    const first = await start({ directory });
    const files = filesOf(directory);
    expect(await start({ directory })).toEqual(first);
    expect(filesOf(directory)).toEqual(files);
  });

  test("has no file without a folder", async () => {
    const directory = temporary("run");
    const { end, best } = await start({ directory });
    expect(await start({})).toMatchObject({ end, best });
  });
});

describe("the number of steps for a time", () => {
  const probe = async (): Promise<Trainer> => {
    const unused = (): never => {
      throw new Error("A probe only steps.");
    };
    return { ...createTrainer({ weight: Float32Array.of(1) }), gradients: unused, update: unused, load: unused, dispose: async () => undefined }; // prettier-ignore
  };
  const timed = {
    label: "toy",
    warmupSteps: 50,
    reporter: silentReporter,
    batch: async () => ({ arrays: { x: Float32Array.of(1) }, keys: [] }),
    probe,
  };

  test("leaves room for the warm-up, however short the time", async () => {
    expect(await stepsForTime({ ...timed, seconds: 1e-9 })).toBe(51);
  });

  test("is that of the run to be resumed, whatever the time; another measures again", async () => {
    const directory = temporary("run");
    await halt({ directory, steps: 17, stopAfter: 3 });
    const seconds = 1e-9;
    expect(await stepsForTime({ ...timed, seconds, folder: { directory, every: 1, resume: true } })).toBe(17);
    expect(await stepsForTime({ ...timed, seconds, folder: { directory, every: 1, resume: false } })).toBe(51);
  });
});
