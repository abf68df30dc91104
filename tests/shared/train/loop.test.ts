/** The loop's promises: order, look-ahead, stops, checkpoints and exact resuming, with a trainer that adds its batch to its state. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Arrays } from "../../../shared/engine/engine.ts";
import { TesseraError } from "../../../shared/errors.ts";
import { Rng } from "../../../shared/rng.ts";
import { runLoop } from "../../../shared/train/loop.ts";
import type { LoopOptions } from "../../../shared/train/loop.ts";
import { silentReporter } from "../../../shared/train/reporter.ts";

/** weight ← 0.9·weight + batch: the order and number of batches decide the result. */
function createTrainer(start = 1, lossAt: (step: number) => number = () => 0.5) {
  let [weight, step] = [Math.fround(start), 0];
  return {
    step: (batch: Arrays): Promise<Arrays> => {
      weight = Math.fround(0.9 * weight + (batch["x"]?.[0] ?? NaN));
      return Promise.resolve({ loss: Float32Array.of(lossAt(step++)), histogram: Float32Array.of(NaN, 1) });
    },
    state: (): Promise<Arrays> => Promise.resolve({ weight: Float32Array.of(weight) }),
  };
}

const batchOf = (step: number) =>
  Promise.resolve({
    arrays: { x: Float32Array.of(Rng.fromSeed(7).fork("batch", step).uniform()) },
    keys: [`a${step}`, `b${step}`],
  });

const options = (overrides: Partial<LoopOptions>): LoopOptions => ({
  trainer: createTrainer(),
  batch: batchOf,
  firstStep: 0,
  steps: 5,
  reporter: silentReporter,
  label: "toy",
  ...overrides,
});

/** Collects what is saved. */
function createStore() {
  const saved: [number, number][] = [];
  const save = (step: number, state: Arrays) => {
    saved.push([step, state["weight"]?.[0] ?? NaN]);
    return Promise.resolve();
  };
  return { saved, save };
}

const errorOf = async (run: Promise<unknown>): Promise<TesseraError> => {
  const error: unknown = await run.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof TesseraError)) throw new Error(`expected a TesseraError, got ${String(error)}`);
  return error;
};

describe("steps", () => {
  test("each batch from firstStep to steps − 1 is asked for once, in order", async () => {
    const asked: number[] = [];
    const result = await runLoop(
      options({ firstStep: 2, steps: 6, batch: (step) => (asked.push(step), batchOf(step)) }),
    );
    expect(asked).toEqual([2, 3, 4, 5]);
    expect(result).toEqual({ step: 6, interrupted: false, metrics: { loss: 0.5 }, evaluation: {} });
  });

  test("the next batch is begun before the step that precedes it runs", async () => {
    const events: string[] = [];
    const inner = createTrainer();
    let ran = 0;
    await runLoop(
      options({
        steps: 3,
        batch: (step) => (events.push(`batch ${step}`), batchOf(step)),
        trainer: { ...inner, step: (batch) => (events.push(`step ${ran++}`), inner.step(batch)) },
      }),
    );
    expect(events).toEqual(["batch 0", "batch 1", "step 0", "batch 2", "step 1", "step 2"]);
  });

  test("onStep sees each index with its scalars; vectors are left out", async () => {
    const seen: [number, unknown][] = [];
    await runLoop(options({ steps: 2, onStep: (step, metrics) => seen.push([step, metrics]) }));
    expect(seen).toEqual([
      [0, { loss: 0.5 }],
      [1, { loss: 0.5 }],
    ]);
  });

  test("events get in between steps", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 0);
    const busy = createTrainer();
    await runLoop(
      options({
        steps: 20,
        trainer: {
          ...busy,
          step: (batch) => {
            const until = performance.now() + 2;
            while (performance.now() < until);
            return busy.step(batch);
          },
        },
      }),
    );
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(0);
  });

  test.each([
    { firstStep: 6, steps: 5 },
    { firstStep: -1, steps: 5 },
    { firstStep: 0, steps: NaN },
    { firstStep: 0.5, steps: 5 },
    { checkpoint: { every: 0, save: createStore().save } },
    { evaluate: { every: NaN, run: () => Promise.resolve({}) } },
  ])("refuses %o", async (bad) => {
    expect((await errorOf(runLoop(options(bad)))).exitCode).toBe(2);
  });
});

describe("evaluation and checkpoints", () => {
  test("run at multiples of `every` and at the end, evaluation first, both on the same state", async () => {
    const events: string[] = [];
    const note = (kind: string) => (state: Arrays, step: number) => {
      events.push(`${kind} ${step} ${state["weight"]?.[0]?.toFixed(6) ?? ""}`);
    };
    const result = await runLoop(
      options({
        steps: 7,
        evaluate: { every: 3, run: (state, step) => (note("evaluate")(state, step), Promise.resolve({ psnr: step })) },
        checkpoint: { every: 2, save: (step, state) => (note("save")(state, step), Promise.resolve()) },
      }),
    );
    expect(events.map((event) => event.split(" ").slice(0, 2).join(" "))).toEqual([
      ...["save 2", "evaluate 3", "save 4", "evaluate 6", "save 6", "evaluate 7", "save 7"],
    ]);
    const stateOf = (index: number) => events[index]?.split(" ")[2];
    expect(stateOf(3)).toBe(stateOf(4));
    expect(stateOf(4)).not.toBe(stateOf(5));
    expect(result.evaluation).toEqual({ psnr: 7 });
  });

  test("a finished run that is continued evaluates once and saves nothing", async () => {
    const { saved, save } = createStore();
    const evaluate = { every: 2, run: () => Promise.resolve({ psnr: 1 }) };
    const result = await runLoop(options({ firstStep: 5, evaluate, checkpoint: { every: 1, save } }));
    expect(result).toEqual({ step: 5, interrupted: false, metrics: {}, evaluation: { psnr: 1 } });
    expect(saved).toEqual([]);
  });

  test("a run continued where an evaluation was due begins with it, and one continued elsewhere does not", async () => {
    const evaluatedFrom = async (firstStep: number): Promise<number[]> => {
      const at: number[] = [];
      const run = (_state: Arrays, step: number) => (at.push(step), Promise.resolve({ psnr: 1 }));
      await runLoop(options({ firstStep, steps: 5, evaluate: { every: 2, run } }));
      return at;
    };
    expect([await evaluatedFrom(0), await evaluatedFrom(1)]).toEqual([[2, 4, 5], [2, 4, 5]]); // prettier-ignore
    expect([await evaluatedFrom(2), await evaluatedFrom(3)]).toEqual([[2, 4, 5], [4, 5]]); // prettier-ignore
    expect(await evaluatedFrom(5)).toEqual([5]);
  });

  test("interrupted at any step and resumed, the state is that of the uninterrupted run, bit for bit", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 11 }), async (steps, stopAt) => {
        const whole = createStore();
        await runLoop(options({ steps, checkpoint: { every: steps, save: whole.save } }));
        const first = createStore();
        const controller = new AbortController();
        const onStep = (step: number) => {
          if (step === stopAt) controller.abort();
        };
        const { signal } = controller;
        const broken = await runLoop(options({ steps, signal, onStep, checkpoint: { every: 100, save: first.save } }));
        expect(broken.interrupted).toBe(stopAt < steps);
        const [firstStep = -1, weight = NaN] = first.saved.at(-1) ?? [];
        expect(firstStep).toBe(broken.step);
        const second = createStore();
        const trainer = createTrainer(weight);
        await runLoop(options({ firstStep, steps, trainer, checkpoint: { every: 100, save: second.save } }));
        expect([...first.saved, ...second.saved].at(-1)).toEqual(whole.saved.at(-1));
      }),
      { numRuns: 30 },
    );
  });
});

describe("stops", () => {
  test("a signal during a step finishes it, saves, and skips the evaluation", async () => {
    const controller = new AbortController();
    const { saved, save } = createStore();
    const result = await runLoop(
      options({
        steps: 100,
        signal: controller.signal,
        onStep: (step) => step === 3 && controller.abort(),
        evaluate: { every: 4, run: () => Promise.reject(new Error("evaluated on the way out")) },
        checkpoint: { every: 50, save },
      }),
    );
    expect(result).toMatchObject({ step: 4, interrupted: true, evaluation: {} });
    expect(saved.map(([step]) => step)).toEqual([4]);
  });

  test("a signal before the first step leaves everything as it was", async () => {
    const { saved, save } = createStore();
    const batch = () => Promise.reject(new Error("asked for a batch"));
    const result = await runLoop(options({ signal: AbortSignal.abort(), batch, checkpoint: { every: 1, save } }));
    expect(result).toMatchObject({ step: 0, interrupted: true });
    expect(saved).toEqual([]);
  });

  test.each([NaN, Infinity, -Infinity])(
    "a loss of %s stops with exit 5, naming step and keys; later states are not saved",
    async (loss) => {
      const { saved, save } = createStore();
      const trainer = createTrainer(1, (step) => (step === 3 ? loss : 1));
      const error = await errorOf(runLoop(options({ steps: 9, trainer, checkpoint: { every: 2, save } })));
      expect(error.exitCode).toBe(5);
      for (const part of ["toy, step 3", "loss", String(loss), "a3, b3", "checkpoint of step 2"])
        expect(error.message).toContain(part);
      expect(saved.map(([step]) => step)).toEqual([2]);
    },
  );

  test("another scalar that is not finite stops too, and is named", async () => {
    const inner = createTrainer();
    const step = async (batch: Arrays) => ({ ...(await inner.step(batch)), perplexity: Float32Array.of(NaN) });
    const error = await errorOf(runLoop(options({ trainer: { ...inner, step } })));
    expect([error.exitCode, error.message.includes("perplexity")]).toEqual([5, true]);
  });

  test("a broken state behind a finite loss is not saved", async () => {
    const { saved, save } = createStore();
    const inner = createTrainer();
    let steps = 0;
    const trainer = {
      step: (batch: Arrays) => (steps++, inner.step(batch)),
      state: async () => (steps >= 4 ? { weight: Float32Array.of(1, NaN) } : inner.state()),
    };
    const error = await errorOf(runLoop(options({ steps: 9, trainer, checkpoint: { every: 2, save } })));
    expect([error.exitCode, error.message.includes("weight[1]")]).toEqual([5, true]);
    expect(saved.map(([step]) => step)).toEqual([2]);
  });

  test("a batch that fails ends the run with its own error, after the step before it", async () => {
    const done: number[] = [];
    const batch = (step: number) => (step === 2 ? Promise.reject(new Error("unreadable")) : batchOf(step));
    await expect(runLoop(options({ batch, onStep: (step) => done.push(step) }))).rejects.toThrow("unreadable");
    expect(done).toEqual([0, 1]);
  });

  test("a prepared batch that fails behind a failing step is no unhandled rejection", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    const batch = (step: number) => (step === 1 ? Promise.reject(new Error("second")) : batchOf(step));
    const trainer = { ...createTrainer(), step: () => Promise.reject(new Error("first")) };
    await expect(runLoop(options({ batch, trainer }))).rejects.toThrow("first");
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
  });

  test("a step without a loss is a bug, not a run", async () => {
    const trainer = { ...createTrainer(), step: () => Promise.resolve({}) };
    await expect(runLoop(options({ trainer }))).rejects.toThrow('scalar "loss"');
  });
});
