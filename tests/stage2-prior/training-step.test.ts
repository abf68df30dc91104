import { beforeAll, describe, expect, test } from "vitest";
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { group, sizeOf } from "../../shared/nn/state.ts";
import { Rng } from "../../shared/rng.ts";
import type { PriorConfig } from "../../stage2-prior/config.ts";
import {
  createPriorStep,
  evaluationWeights,
  initialPriorState,
  lossOf,
  priorBatch,
} from "../../stage2-prior/training-step.ts";
import { toTensors } from "../contracts/bottleneck.ts";
import { numbers } from "../shared/nn/tensors.ts";
import { tinyPrior, tinyTokens } from "./tiny-config.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

function batchOf(config: PriorConfig): Tensors {
  const form = priorBatch(config);
  return toTensors(form.spec, form.prepare(tinyTokens(config), Rng.fromSeed(4)));
}
function setUp(overrides: Readonly<Record<string, unknown>>) {
  const config = tinyPrior(overrides);
  const { spec, values } = initialPriorState(config, Rng.fromSeed(1));
  return { config, spec, state: toTensors(spec, values), batch: batchOf(config) };
}
const value = (tensors: Tensors, name: string): number => tensors[name]?.dataSync()[0] ?? NaN;

describe.each([
  { objective: "causal" },
  { objective: "masked", labelSmoothing: 0.1, dropout: 0.2 },
  { objective: "causal", weightEmaDecay: 0, classes: 0 },
  { objective: "diffusion" },
  { objective: "pixelcnn", dropout: 0.1 },
])("%o", (overrides) => {
  test("gradients for every weight, in its shape and finite; metrics are finite scalars", () => {
    const { config, state, batch } = setUp(overrides);
    const { gradients, metrics, statistics } = createPriorStep(config).gradients(state, batch);
    const weights = group(state, "weight");
    expect(Object.keys(gradients).sort()).toEqual(Object.keys(weights).sort());
    for (const [name, weight] of Object.entries(weights)) {
      expect(gradients[name]?.shape).toEqual(weight.shape);
      expect(numbers(gradients[name] ?? tf.scalar(NaN)).every(Number.isFinite), name).toBe(true);
    }
    expect(statistics).toEqual({});
    expect(Object.keys(metrics).sort()).toEqual(["bitsPerToken", "gradientNorm", "loss"]);
    for (const tensor of Object.values(metrics)) {
      expect(tensor.shape).toEqual([]);
      expect(numbers(tensor).every(Number.isFinite)).toBe(true);
    }
  });

  test("an update returns every entry of the state in its shape, one step later", () => {
    const { config, spec, state, batch } = setUp(overrides);
    const step = createPriorStep(config);
    const next = step.update(state, step.gradients(state, batch).gradients, {});
    expect(Object.keys(next).sort()).toEqual(Object.keys(spec).sort());
    for (const [name, { shape }] of Object.entries(spec)) expect(next[name]?.shape, name).toEqual(shape);
    for (const [name, weight] of Object.entries(group(state, "weight")))
      expect(next[`weight/${name}`]?.dataSync(), name).not.toEqual(weight.dataSync());
    expect(value(next, "step")).toBe(1);
  });

  test("forty steps on one batch learn it: bits/token fall by more than half", () => {
    const { config, state, batch } = setUp(overrides);
    const step = createPriorStep(config);
    let current: Tensors = state;
    for (let i = 0; i < 40; i++) {
      const before = current;
      current = tf.tidy(() => step.update(before, step.gradients(before, batch).gradients, {}));
    }
    const bits = (tensors: Tensors): number => value(step.gradients(tensors, batch).metrics, "bitsPerToken");
    expect(bits(current)).toBeLessThan(bits(state) / 2);
  });

  test("a step leaves no tensor behind but its results", () => {
    const { config, state, batch } = setUp(overrides);
    const step = createPriorStep(config);
    const before = tf.memory().numTensors;
    const kept = tf.tidy(() => {
      const { gradients, metrics } = step.gradients(state, batch);
      return { ...gradients, ...metrics, ...step.update(state, gradients, {}) };
    });
    tf.dispose(kept);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe("loss", () => {
  test.each(["causal", "masked", "diffusion"])(
    "%s: the mean of −log p over the positions that count, in nats and bits",
    (objective) => {
      const { config, state, batch } = setUp({ objective });
      const weights = group(state, "weight");
      const { nats, weight } = lossOf(weights, batch, config, "evaluation");
      const counted = numbers(batch["counted"] ?? tf.scalar(NaN));
      // Position by position: the loss with only that one counting.
      const each = counted.map((_, at) => {
        const one = {
          ...batch,
          counted: tf.tensor(
            Float32Array.from(counted, (__, i) => Number(i === at)),
            [2, 16],
          ),
        };
        return lossOf(weights, one, config, "evaluation").nats.dataSync()[0] ?? NaN;
      });
      const sum = each.reduce((total, nll, at) => total + nll * (counted[at] ?? NaN), 0);
      const total = counted.reduce((a, b) => a + b, 0);
      expect(weight.dataSync()[0]).toBeCloseTo(total, 5);
      expect(nats.dataSync()[0]).toBeCloseTo(sum / total, 4);
      const { metrics } = createPriorStep(config).gradients(state, batch);
      expect(value(metrics, "bitsPerToken") * Math.LN2).toBeCloseTo(sum / total, 4);
    },
  );

  test("diffusion: every image weighs the same, however much of it is hidden", () => {
    const { config, state, batch } = setUp({ objective: "diffusion" });
    const weights = group(state, "weight");
    const counted = numbers(batch["counted"] ?? tf.scalar(NaN));
    const costs = [0, 1].map((image) => {
      const alone = counted.map((weight, at) => (Math.floor(at / 16) === image ? weight : 0));
      const one = { ...batch, counted: tf.tensor(alone, [2, 16]) };
      return lossOf(weights, one, config, "evaluation").nats.dataSync()[0] ?? NaN;
    });
    const hidden = [0, 16].map((from) => counted.slice(from, from + 16).filter((weight) => weight > 0).length);
    expect(hidden[0]).not.toBe(hidden[1]);
    const { nats } = lossOf(weights, batch, config, "evaluation");
    expect(nats.dataSync()[0]).toBeCloseTo(((costs[0] ?? NaN) + (costs[1] ?? NaN)) / 2, 5);
  });

  test("masked: targets at visible positions do not matter, those at hidden ones do", () => {
    const { config, state, batch } = setUp({ objective: "masked" });
    const targets = numbers(batch["targets"] ?? tf.scalar(NaN));
    const counted = numbers(batch["counted"] ?? tf.scalar(NaN));
    const lossWith = (change: (at: number) => boolean): number => {
      const moved = targets.map((token, at) => (change(at) ? (token + 1) % 7 : token));
      const other = { ...batch, targets: tf.tensor(moved, [2, 16], "int32") };
      return value(createPriorStep(config).gradients(state, other).metrics, "loss");
    };
    const before = lossWith(() => false);
    expect(lossWith((at) => counted[at] === 0)).toBe(before);
    expect(lossWith((at) => counted[at] === 1)).not.toBe(before);
  });

  test("smoothing is in the training loss alone; bits/token and evaluation are without", () => {
    const smooth = setUp({ objective: "masked", labelSmoothing: 0.3 });
    const sharp = setUp({ objective: "masked" });
    const metricsOf = ({ config, state, batch }: typeof smooth): Tensors =>
      createPriorStep(config).gradients(state, batch).metrics;
    expect(value(metricsOf(smooth), "bitsPerToken")).toBe(value(metricsOf(sharp), "bitsPerToken"));
    expect(value(metricsOf(smooth), "loss")).not.toBe(value(metricsOf(sharp), "loss"));
    const { loss, nats } = lossOf(group(smooth.state, "weight"), smooth.batch, smooth.config, "evaluation");
    expect(numbers(loss)).toEqual(numbers(nats));
  });

  test("gradients agree with finite differences, in every weight", () => {
    const { config, state, batch } = setUp({ objective: "masked", labelSmoothing: 0.1, clipNorm: 1e6 });
    const { gradients } = createPriorStep(config).gradients(state, batch);
    const weights = group(state, "weight");
    const rng = Rng.fromSeed(6);
    for (const [name, weight] of Object.entries(weights)) {
      const direction = tf.tensor(
        rng.fill(weight.size, (stream) => stream.normal()),
        weight.shape,
      );
      const unit = tf.div(direction, tf.norm(direction));
      const along = (by: number): number =>
        lossOf(
          { ...weights, [name]: tf.add(weight, tf.mul(unit, by)) },
          batch,
          config,
          "training",
        ).loss.dataSync()[0] ?? NaN;
      const expected = (along(5e-2) - along(-5e-2)) / 1e-1;
      const got = tf.sum(tf.mul(gradients[name] ?? tf.scalar(NaN), unit)).dataSync()[0] ?? NaN;
      expect(Math.abs(got - expected), name).toBeLessThan(1e-3 * Math.max(1, Math.abs(expected)));
    }
  });
});

describe("clipping", () => {
  test("the norm reported is the one before clipping, and clipping bounds what the moments see", () => {
    const { config, state, batch } = setUp({ clipNorm: 0.01 });
    const step = createPriorStep(config);
    const { gradients, metrics } = step.gradients(state, batch);
    const next = step.update(state, gradients, {});
    expect(value(metrics, "gradientNorm")).toBeGreaterThan(0.01);
    // m = (1 − β₁)·g after the first step.
    const squares = Object.values(group(next, "adam.m")).map((m) => tf.sum(tf.square(m)).dataSync()[0] ?? NaN);
    expect(Math.sqrt(squares.reduce((a, b) => a + b, 0))).toBeCloseTo(0.1 * 0.01, 6);
  });

  test("two processes that average their gradients do what one does with both batches", () => {
    const whole = setUp({ objective: "causal", batchSize: 4, clipNorm: 0.01 });
    const { config, state } = whole;
    const step = createPriorStep(config);
    const half = (start: number): Tensors =>
      Object.fromEntries(
        Object.entries(whole.batch).map(([name, x]) => [
          name,
          tf.slice(x, [start, ...x.shape.slice(1).map(() => 0)], [2, ...x.shape.slice(1)]),
        ]),
      );
    const [a, b] = [step.gradients(state, half(0)).gradients, step.gradients(state, half(2)).gradients];
    const average = Object.fromEntries(
      Object.entries(a).map(([name, x]) => [name, tf.div(tf.add(x, b[name] ?? NaN), 2)]),
    );
    const [together, alone] = [
      step.update(state, average, {}),
      step.update(state, step.gradients(state, whole.batch).gradients, {}),
    ];
    for (const [name, m] of Object.entries(group(alone, "adam.m"))) {
      const difference = tf.max(tf.abs(tf.sub(m, together[`adam.m/${name}`] ?? NaN))).dataSync()[0];
      expect(difference, name).toBeLessThan(1e-8);
    }
  });
});

describe("batch", () => {
  test("arrays fit their spec, the same from the same stream", () => {
    const config = tinyPrior({ objective: "masked", dropout: 0.2, labelDrop: 0.5 });
    const form = priorBatch(config);
    const prepared = form.prepare(tinyTokens(config), Rng.fromSeed(1));
    expect(Object.keys(prepared).sort()).toEqual(Object.keys(form.spec).sort());
    for (const [name, { shape }] of Object.entries(form.spec)) expect(prepared[name]).toHaveLength(sizeOf(shape));
    expect(form.prepare(tinyTokens(config), Rng.fromSeed(1))).toEqual(prepared);
  });

  test("dropout masks: one an embedding and a residual branch, none without dropout, none in evaluation", () => {
    const masksIn = (spec: object): string[] => Object.keys(spec).filter((name) => name.startsWith("dropout."));
    expect(masksIn(priorBatch(tinyPrior({ dropout: 0.1 })).spec)).toHaveLength(1 + 2 * 2);
    expect(masksIn(priorBatch(tinyPrior({ dropout: 0.1 })).evaluationSpec)).toEqual([]);
    expect(masksIn(priorBatch(tinyPrior()).spec)).toEqual([]);
  });

  test("dropout masks of different sites differ", () => {
    const config = tinyPrior({ dropout: 0.5 });
    const prepared = priorBatch(config).prepare(tinyTokens(config), Rng.fromSeed(1));
    expect(prepared["dropout.block0.attention"]).not.toEqual(prepared["dropout.block1.attention"]);
  });

  test("labels are dropped to the null class at their rate; no label is the null class", () => {
    const config = tinyPrior({ batchSize: 2000, labelDrop: 0.1, grid: [1, 1] });
    const kept = Array.from({ length: 2000 }, (_, i) => i % 3);
    const dropped = [...(priorBatch(config).prepare(tinyTokens(config), Rng.fromSeed(1))["classes"] ?? [])];
    expect(dropped.every((id, i) => id === 3 || id === kept[i])).toBe(true);
    // Binomial(2000, 0.1): deviation 13.
    expect(Math.abs(dropped.filter((id) => id === 3).length - 200)).toBeLessThan(65);
    const unlabelled = { ...tinyTokens(config), labels: new Int32Array(2000).fill(-1) };
    expect(new Set(priorBatch(config).prepare(unlabelled, Rng.fromSeed(1))["classes"])).toEqual(new Set([3]));
  });

  test("an unconditional prior takes images of any label", () => {
    const config = tinyPrior({ classes: 0 });
    const labelled = { ...tinyTokens(config), labels: Int32Array.of(5, 8) };
    expect([...(priorBatch(config).prepare(labelled, Rng.fromSeed(1))["classes"] ?? [])]).toEqual([0, 0]);
  });

  test("a label that is no class is refused", () => {
    const config = tinyPrior();
    const labelled = { ...tinyTokens(config), labels: Int32Array.of(0, 3) };
    expect(() => priorBatch(config).prepare(labelled, Rng.fromSeed(1))).toThrow(/class at position 1/);
  });
});

describe("state", () => {
  test("the same seed gives the same state, another seed another", () => {
    const config = tinyPrior();
    expect(initialPriorState(config, Rng.fromSeed(1))).toEqual(initialPriorState(config, Rng.fromSeed(1)));
    expect(initialPriorState(config, Rng.fromSeed(2)).values).not.toEqual(
      initialPriorState(config, Rng.fromSeed(1)).values,
    );
  });

  test("evaluation uses the averages where they are kept, else the weights", () => {
    const averaged = { "weight/a": 1, "weight/b": 2, "ema/a": 3, "ema/b": 4, step: 5 };
    expect(evaluationWeights(averaged)).toEqual({ a: 3, b: 4 });
    expect(evaluationWeights({ "weight/a": 1, step: 5 })).toEqual({ a: 1 });
  });

  test("averages start at the weights and then lag behind them", () => {
    const { config, state, batch } = setUp({ weightEmaDecay: 0.99 });
    expect(state["ema/head.kernel"]?.dataSync()).toEqual(state["weight/head.kernel"]?.dataSync());
    const step = createPriorStep(config);
    const next = step.update(state, step.gradients(state, batch).gradients, {});
    // d = min(0.99, 1/10) at the first update.
    const [old, fresh, average] = [state["ema/head.kernel"], next["weight/head.kernel"], next["ema/head.kernel"]].map(
      (x) => value({ x: x ?? tf.scalar(NaN) }, "x"),
    );
    expect(average).toBeCloseTo(0.1 * (old ?? NaN) + 0.9 * (fresh ?? NaN), 6);
  });
});
