/** What every engine must do, whatever runs underneath. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Arrays, Engine, TrainingStep } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";

const float = (...shape: number[]) => ({ shape, dtype: "float32" }) as const;

/** A line y = a·x fitted by gradient descent: gradients, a statistic and two state entries, all checkable by hand. */
const line: TrainingStep = {
  gradients({ a }, { x, y }) {
    const error = tf.sub(tf.mul(x as tf.Tensor, a as tf.Tensor), y as tf.Tensor);
    const gradient = tf.mean(tf.mul(tf.mul(error, x as tf.Tensor), 2));
    return {
      gradients: { a: gradient },
      statistics: { seen: tf.sum(x as tf.Tensor) },
      metrics: { loss: tf.mean(tf.square(error)) },
    };
  },
  update({ a, total }, { a: gradient }, { seen }) {
    return {
      a: tf.sub(a as tf.Tensor, tf.mul(gradient as tf.Tensor, 0.1)),
      total: tf.add(total as tf.Tensor, seen as tf.Tensor),
    };
  },
};
const STATE = { spec: { a: float(), total: float() }, values: { a: Float32Array.of(0), total: Float32Array.of(5) } };
const BATCH = { x: float(2), y: float(2) };
const batch: Arrays = { x: Float32Array.of(1, 2), y: Float32Array.of(3, 6) };
// error = −(3, 6); gradient = 2·mean(−3, −12) = −15; loss = mean(9, 36); a = 0 + 1.5; total = 5 + 3.
const AFTER = { a: 1.5, total: 8, loss: 22.5, gradient: -15, seen: 3 };

/** Counts its steps in an int32; everything else it returns is a tensor it was given, some of them twice. */
const handingOn: TrainingStep = {
  gradients: ({ count, frozen }, { x }) => ({
    gradients: { copied: x as tf.Tensor },
    statistics: { count: count as tf.Tensor },
    metrics: { loss: x as tf.Tensor, before: count as tf.Tensor, frozen: frozen as tf.Tensor },
  }),
  update: ({ frozen, copied }, _, { count }) => ({
    count: tf.add(count as tf.Tensor, tf.scalar(1, "int32")),
    frozen: frozen as tf.Tensor,
    copied: tf.clone(copied as tf.Tensor),
  }),
};
const COUNTING = {
  spec: { count: { shape: [], dtype: "int32" }, frozen: float(), copied: float() },
  values: { count: Int32Array.of(0), frozen: Float32Array.of(7), copied: Float32Array.of(8) },
} as const;

export function describeEngine(name: string, create: () => Engine | Promise<Engine>): void {
  describe(`engine contract: ${name}`, () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await create();
    });
    afterAll(() => engine.dispose());
    const first = (array: Arrays[string] | undefined): number => array?.[0] ?? NaN;

    it("says what it is", () => {
      expect(engine.description.length).toBeGreaterThan(3);
    });

    it("runs a pure function, also one that returns its input and one that ignores it", async () => {
      const spec = { x: float(2, 2), unused: float(1) };
      const fn = await engine.compile(
        ({ x }) => ({ x: x as tf.Tensor, twice: tf.mul(x as tf.Tensor, 2), one: tf.onesLike(x as tf.Tensor) }),
        spec,
      );
      const x = Float32Array.of(1, 2, 3, 4);
      const out = await fn.run({ x, unused: Float32Array.of(0) });
      expect([...(out["x"] ?? [])]).toEqual([1, 2, 3, 4]);
      expect([...(out["twice"] ?? [])]).toEqual([2, 4, 6, 8]);
      expect([...(out["one"] ?? [])]).toEqual([1, 1, 1, 1]);
      await fn.dispose();
    });

    it("hands uint8 and int32 arrays in as int32 tensors", async () => {
      const fn = await engine.compile(
        ({ bytes, ints }) => {
          expect([bytes?.dtype, ints?.dtype]).toEqual(["int32", "int32"]);
          return { sum: tf.add(bytes as tf.Tensor, ints as tf.Tensor) };
        },
        { bytes: { shape: [2], dtype: "uint8" }, ints: { shape: [2], dtype: "int32" } },
      );
      const { sum } = await fn.run({ bytes: Uint8Array.of(255, 1), ints: Int32Array.of(-5, 7) });
      expect(sum).toEqual(Int32Array.of(250, 8));
      await fn.dispose();
    });

    it.each([
      ["missing", {}],
      ["unknown", { x: new Float32Array(2), z: new Float32Array(2) }],
      ["of another length", { x: new Float32Array(3) }],
      ["of another type", { x: new Int32Array(2) }],
    ] as const)("refuses an array that is %s", async (_name, inputs) => {
      const fn = await engine.compile(({ x }) => ({ y: tf.neg(x as tf.Tensor) }), { x: float(2) });
      await expect(fn.run(inputs as Arrays)).rejects.toMatchObject({ code: "bad-input" });
      await fn.dispose();
    });

    it("takes a step: metrics returned, state kept by name", async () => {
      const trainer = await engine.createTrainer(line, STATE, BATCH);
      expect(first((await trainer.step(batch))["loss"])).toBeCloseTo(AFTER.loss, 5);
      const snapshot = await trainer.state();
      expect(Object.keys(snapshot).sort()).toEqual(["a", "total"]);
      expect([first(snapshot["a"]), first(snapshot["total"])]).toEqual([AFTER.a, AFTER.total]);
      await trainer.step(batch);
      expect(first(snapshot["a"]), "a snapshot does not change").toBe(AFTER.a);
      expect(first((await trainer.state())["total"])).toBe(11);
      await expect(trainer.step({ x: batch["x"] ?? new Float32Array(2) })).rejects.toMatchObject({ code: "bad-input" });
      await trainer.dispose();
    });

    it("takes the halves apart: gradients leave the state alone, update replaces it", async () => {
      const trainer = await engine.createTrainer(line, STATE, BATCH);
      const { gradients, statistics, metrics } = await trainer.gradients(batch);
      expect([first(gradients["a"]), first(statistics["seen"])]).toEqual([AFTER.gradient, AFTER.seen]);
      expect(first(metrics["loss"])).toBeCloseTo(AFTER.loss, 5);
      expect(first((await trainer.state())["a"])).toBe(0);
      await trainer.update(gradients, statistics);
      expect(first((await trainer.state())["a"])).toBe(AFTER.a);
      await trainer.dispose();
    });

    it("updates with gradients that were made elsewhere, before any of its own", async () => {
      const trainer = await engine.createTrainer(line, STATE, BATCH);
      await trainer.update({ a: Float32Array.of(10) }, { seen: Float32Array.of(1) });
      const state = await trainer.state();
      expect([first(state["a"]), first(state["total"])]).toEqual([-1, 6]);
      await trainer.dispose();
    });

    it.each([
      ["missing", {}, { seen: Float32Array.of(1) }],
      ["unknown", { a: Float32Array.of(1), b: Float32Array.of(1) }, { seen: Float32Array.of(1) }],
      ["of another length", { a: Float32Array.of(1) }, { seen: new Float32Array(2) }],
    ] as const)(
      "refuses an update with an array that is %s, and keeps its state",
      async (_name, gradients, statistics) => {
        const trainer = await engine.createTrainer(line, STATE, BATCH);
        await expect(trainer.update(gradients as Arrays, statistics)).rejects.toMatchObject({ code: "bad-input" });
        expect(first((await trainer.state())["a"])).toBe(0);
        await trainer.dispose();
      },
    );

    it("lets a step hand state on: as it is, as a copy, as a metric, as a statistic", async () => {
      const trainer = await engine.createTrainer(handingOn, COUNTING, { x: float() });
      const x = Float32Array.of(2);
      for (const count of [0, 1]) {
        expect(await trainer.step({ x })).toEqual({
          loss: x,
          before: Int32Array.of(count),
          frozen: Float32Array.of(7),
        });
      }
      const { gradients, statistics, metrics } = await trainer.gradients({ x });
      expect([first(gradients["copied"]), first(statistics["count"]), first(metrics["loss"])]).toEqual([2, 2, 2]);
      await trainer.update(gradients, statistics);
      expect(await trainer.state()).toEqual({ ...COUNTING.values, count: Int32Array.of(3) });
      await trainer.dispose();
    });

    it("disposes one function without another", async () => {
      const spec = { x: float(1) };
      const double = (inputs: Readonly<Record<string, tf.Tensor>>) => ({ y: tf.mul(inputs["x"] as tf.Tensor, 2) });
      const [one, other] = [await engine.compile(double, spec), await engine.compile(double, spec)];
      await one.dispose();
      expect(first((await other.run({ x: Float32Array.of(4) }))["y"])).toBe(8);
      await other.dispose();
    });

    it("loads a state, and refuses one of other names or sizes", async () => {
      const trainer = await engine.createTrainer(line, STATE, BATCH);
      await trainer.load({ a: Float32Array.of(3), total: Float32Array.of(0) });
      expect(first((await trainer.step(batch))["loss"])).toBe(0);
      await expect(trainer.load({ a: Float32Array.of(3) })).rejects.toMatchObject({ code: "bad-input" });
      await expect(trainer.load({ a: new Float32Array(2), total: Float32Array.of(0) })).rejects.toMatchObject({
        code: "bad-input",
      });
      await trainer.dispose();
    });

    it("refuses an update that forgets part of the state", async () => {
      const forgetful: TrainingStep = { ...line, update: ({ a }) => ({ a: a as tf.Tensor }) };
      const making = async (): Promise<void> => {
        const trainer = await engine.createTrainer(forgetful, STATE, BATCH);
        await trainer.step(batch);
      };
      await expect(making()).rejects.toThrow(/total/);
    });
  });
}
