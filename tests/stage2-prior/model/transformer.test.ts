import { beforeAll, describe, expect, test } from "vitest";
import type { Tensors } from "../../../shared/engine/engine.ts";
import { tf } from "../../../shared/engine/tf.ts";
import { initialise } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";
import type { PriorConfig } from "../../../stage2-prior/config.ts";
import { dropoutSites, forward, forwardCached } from "../../../stage2-prior/model/transformer.ts";
import { transformerSpecs } from "../../../stage2-prior/model/weights.ts";
import { sizeOfPrior } from "../../../stage2-prior/model/index.ts";
import { toTensors } from "../../contracts/bottleneck.ts";
import { expectTensorsClose, numbers } from "../../shared/nn/tensors.ts";
import { tinyPrior, tinyTokens } from "../tiny-config.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const K = 7;
const L = 16;

/** Initial weights, the small ones made larger: at 0.02 a head or a class would hardly show in the logits. */
function weightsOf(config: PriorConfig): Tensors {
  const { spec, values } = initialise(transformerSpecs(sizeOfPrior(config)), Rng.fromSeed(2));
  const small = ["head.kernel", "embed.class", "embed.position"];
  return Object.fromEntries(
    Object.entries(toTensors(spec, values)).map(([name, weight]) => [
      name,
      small.includes(name) ? tf.mul(weight, 30) : weight,
    ]),
  );
}

function setUp(overrides: Readonly<Record<string, unknown>> = {}) {
  const config = tinyPrior(overrides);
  const size = sizeOfPrior(config);
  const weights = weightsOf(config);
  const ids = tinyTokens(config).tokens;
  const logits = (given: Int32Array, classIds: readonly number[] = [0, 1], more: object = {}): tf.Tensor =>
    forward(weights, { ids: tf.tensor(given, [2, L], "int32"), classIds: tf.tensor1d([...classIds], "int32") }, size, {
      causal: size.causal,
      ...more,
    });
  return { config, size, weights, ids, logits };
}

/** Positions of an image whose logits differ by more than rounding. */
function changedPositions(a: tf.Tensor, b: tf.Tensor, image: number): number[] {
  const difference = numbers(tf.max(tf.abs(tf.sub(a, b)), -1)); // [N·L]
  return difference.slice(image * L, (image + 1) * L).flatMap((value, at) => (value > 1e-6 ? [at] : []));
}

describe.each(["causal", "masked"])("%s", (objective) => {
  test("logits are [N, L, K] and finite, also for ids that are all unknown: a special id has no logit", () => {
    const { ids, logits } = setUp({ objective });
    expect(logits(ids).shape).toEqual([2, L, K]);
    const unknown = logits(ids.slice().fill(K));
    expect(unknown.shape).toEqual([2, L, K]);
    expect(numbers(unknown).every(Number.isFinite)).toBe(true);
  });

  test("before training the loss is near ln K", () => {
    const { config, ids } = setUp({ objective });
    const { spec, values } = initialise(transformerSpecs(sizeOfPrior(config)), Rng.fromSeed(2));
    const input = { ids: tf.tensor(ids, [2, L], "int32"), classIds: tf.tensor1d([0, 1], "int32") };
    const fresh = forward(toTensors(spec, values), input, sizeOfPrior(config), { causal: objective === "causal" });
    const probabilities = numbers(tf.softmax(fresh));
    expect(Math.max(...probabilities)).toBeLessThan(2 / K);
    expect(Math.min(...probabilities)).toBeGreaterThan(0.5 / K);
  });

  test("images do not see each other", () => {
    const { ids, logits } = setUp({ objective });
    const other = ids.slice();
    other.fill(0, 0, L);
    expect(changedPositions(logits(other), logits(ids), 1)).toEqual([]);
    expect(changedPositions(logits(other), logits(ids), 0)).not.toEqual([]);
  });

  test("the class is seen from every position; the null class is a class of its own", () => {
    const { ids, logits } = setUp({ objective });
    const conditional = logits(ids, [0, 0]);
    for (const other of [1, 2, 3])
      expect(changedPositions(logits(ids, [0, other]), conditional, 1)).toEqual([...Array(L).keys()]);
    expect(changedPositions(logits(ids, [0, 3]), conditional, 0)).toEqual([]);
  });

  test("without classes there is no class embedding and class ids change nothing", () => {
    const { ids, weights, logits } = setUp({ objective, classes: 0 });
    expect(Object.keys(weights)).not.toContain("embed.class");
    expect(numbers(logits(ids, [0, 0]))).toEqual(numbers(logits(ids, [5, -9])));
  });

  test("masks of ones at rate 0 change nothing; every site's mask reaches the logits", () => {
    const { ids, logits, config } = setUp({ objective });
    const sites = dropoutSites(config.layers).map((site) => `dropout.${site}`);
    const masks = Object.fromEntries(sites.map((site) => [site, tf.ones([2, L, 16], "int32")]));
    const whole = logits(ids, [0, 1], { dropout: { masks, rate: 0 } });
    expectTensorsClose(whole, logits(ids), 1e-6);
    for (const site of sites) {
      const holed = { ...masks, [site]: tf.concat([tf.zeros([2, L, 8], "int32"), tf.ones([2, L, 8], "int32")], 2) };
      expect(changedPositions(logits(ids, [0, 1], { dropout: { masks: holed, rate: 0 } }), whole, 0), site).not.toEqual(
        [],
      );
    }
  });
});

test("causal: a changed id at j changes logits from j on and, to the bit, none before", () => {
  const { ids, logits } = setUp({ objective: "causal" });
  const before = logits(ids);
  for (let j = 0; j < L; j++) {
    const after = logits(ids.with(j, ((ids[j] ?? 0) + 1) % K));
    expect(numbers(after).slice(0, j * K)).toEqual(numbers(before).slice(0, j * K));
    expect(changedPositions(after, before, 0)[0]).toBe(j);
  }
});

test("masked: a changed id anywhere changes logits on both sides of it", () => {
  const { ids, logits } = setUp({ objective: "masked" });
  const changed = changedPositions(logits(ids.with(7, ((ids[7] ?? 0) + 1) % K)), logits(ids), 0);
  expect(changed[0]).toBeLessThan(7);
  expect(changed.at(-1)).toBeGreaterThan(7);
});

test("equal ids at different positions have different logits", () => {
  const { ids, logits } = setUp({ objective: "masked" });
  const rows = tf
    .reshape(tf.slice(logits(ids.slice().fill(2)), [0, 0, 0], [1, -1, -1]), [L, K])
    .arraySync() as number[][];
  expect(new Set(rows.map((row) => row.map((value) => value.toFixed(5)).join())).size).toBe(L);
});

describe("cached", () => {
  test.each([
    { pieces: Array.from({ length: 16 }, () => 1) },
    { pieces: [16] },
    { pieces: [5, 1, 10] },
    { pieces: [1, 7, 8] },
  ])("in pieces of $pieces equals the whole causal pass", ({ pieces }) => {
    const { ids, size, weights, logits } = setUp({ objective: "causal", layers: 3 });
    const classIds = tf.tensor1d([0, 1], "int32");
    const all = tf.tensor2d(ids, [2, L], "int32");
    const empty = () => tf.fill([2, 2, L, 8], 3); // rows that hold nothing yet hold anything
    let caches = Array.from({ length: 3 }, () => ({ keys: empty(), values: empty() }));
    let start = 0;
    const parts = pieces.map((length) => {
      const past = { length: tf.tensor1d([start], "int32"), caches };
      const piece = { ids: tf.slice(all, [0, start], [2, length]), classIds, past };
      const { logits: part, present } = forwardCached(weights, piece, size);
      for (const { keys, values } of present) expect([keys.shape, values.shape]).toEqual([[2, 2, length, 8], [2, 2, length, 8]]); // prettier-ignore
      const grown = (old: tf.Tensor, rows: tf.Tensor): tf.Tensor4D => {
        const [before, after] = tf.split(old, [start, L - start], 2) as [tf.Tensor4D, tf.Tensor4D];
        return tf.concat([before, rows as tf.Tensor4D, tf.slice(after, [0, 0, length, 0])], 2);
      };
      caches = caches.map(({ keys, values }, i) => ({
        keys: grown(keys, present[i]?.keys ?? keys),
        values: grown(values, present[i]?.values ?? values),
      }));
      start += length;
      return part;
    });
    expectTensorsClose(tf.concat(parts, 1), logits(ids), 1e-5);
  });
});
