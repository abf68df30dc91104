/** The PixelCNN sees every token before a position, as far as its kernels reach, and to the bit none from it on. */
import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { initialise, sizeOf } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";
import { priorConfig } from "../../../stage2-prior/config.ts";
import { networkOf } from "../../../stage2-prior/model/index.ts";
import { toTensors } from "../../contracts/bottleneck.ts";
import { expectTensorsClose, numbers } from "../../shared/nn/tensors.ts";
import { tinyPrior, tinyTokens } from "../tiny-config.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const K = 7;

function setUp(overrides: Readonly<Record<string, unknown>> = {}) {
  const config = tinyPrior({ objective: "pixelcnn", ...overrides });
  const network = networkOf(config);
  const { spec, values } = initialise(network.specs, Rng.fromSeed(2));
  // The first head is small, and classes begin nearly alike: louder, nothing that is seen is lost in rounding.
  const louder = Object.entries(values).map(([name, array]) => [
    name,
    /(head\.kernel|\.class)$/.test(name) ? Float32Array.from(array, (value) => value * 30) : array,
  ]);
  const weights = toTensors(spec, Object.fromEntries(louder) as typeof values);
  const [h, w] = config.grid;
  const ids = tinyTokens(config).tokens;
  const logits = (given: Int32Array, classIds: readonly number[] = [0, 1], more: object = {}): tf.Tensor =>
    network.forward(
      weights,
      { ids: tf.tensor(given, [2, h * w], "int32"), classIds: tf.tensor1d([...classIds], "int32") },
      more,
    );
  return { config, network, weights, ids, logits, length: h * w };
}

/** Positions of image 0 whose logits are not the same to the bit. */
function changed(a: tf.Tensor, b: tf.Tensor, length: number): number[] {
  const [x, y] = [numbers(a), numbers(b)];
  return Array.from({ length }, (_, at) => at).filter((at) =>
    x.slice(at * K, (at + 1) * K).some((value, k) => value !== y[at * K + k]),
  );
}
/** For every position of image 0, the logits that another token there changes. */
function influence({ ids, logits, length }: ReturnType<typeof setUp>): number[][] {
  const before = logits(ids);
  return Array.from({ length }, (_, at) => changed(logits(ids.with(at, ((ids[at] ?? 0) + 1) % K)), before, length));
}

describe("sight", () => {
  test.each([
    { grid: [4, 4], layers: 2 },
    { grid: [3, 5], layers: 3 },
    { grid: [1, 5], layers: 2 },
    { grid: [5, 1], layers: 2 },
  ])("a grid of $grid in $layers layers: a token changes all logits after it and none up to its own", (overrides) => {
    const model = setUp(overrides);
    const after = (at: number): number[] => Array.from({ length: model.length - at - 1 }, (_, i) => at + 1 + i);
    for (const [at, positions] of influence(model).entries()) expect(positions, `token ${at}`).toEqual(after(at));
  });

  test("one layer reaches three rows up by two columns to both sides, and three to the left: no blind spot", () => {
    const [h, w] = [6, 7];
    const model = setUp({ grid: [h, w], layers: 1 });
    const cells = Array.from({ length: h * w }, (_, at) => [Math.floor(at / w), at % w] as const);
    for (const [token, positions] of influence(model).entries()) {
      const [row, column] = cells[token] ?? [0, 0];
      const expected = cells.flatMap(([i, j], at) => {
        const above = i - row >= 1 && i - row <= 3 && Math.abs(j - column) <= 2;
        const left = i === row && j - column >= 1 && j - column <= 3;
        return above || left ? [at] : [];
      });
      expect(positions, `token ${token}`).toEqual(expected);
    }
  });

  test("unknown tokens from a position on change nothing up to it: sampling asks what training learnt", () => {
    const { ids, logits, length } = setUp();
    const before = logits(ids);
    for (let at = 0; at < length; at++) {
      const unknown = ids.map((id, i) => (i % length >= at ? K : id));
      expect(changed(logits(unknown), before, length).filter((position) => position <= at)).toEqual([]);
    }
  });

  test("images do not see each other", () => {
    const { ids, logits, length } = setUp();
    const other = ids.slice();
    other.fill(0, length);
    expect(changed(logits(other), logits(ids), length)).toEqual([]);
  });

  test("the class is seen from every position; the null class is a class of its own", () => {
    const { ids, logits, length } = setUp();
    const conditional = logits(ids, [0, 0]);
    for (const other of [1, 2, 3])
      expect(changed(logits(ids, [other, 0]), conditional, length)).toEqual([...Array(length).keys()]);
    expect(changed(logits(ids, [0, 3]), conditional, length)).toEqual([]);
  });

  test("without classes there is no weight of a class and class ids change nothing", () => {
    const { ids, network, logits } = setUp({ classes: 0 });
    expect(Object.keys(network.specs).filter((name) => name.endsWith("class"))).toEqual([]);
    expect(numbers(logits(ids, [0, 0]))).toEqual(numbers(logits(ids, [5, -9])));
  });
});

test("logits are [N, L, K]; before training the loss is near ln K", () => {
  const { config, network, ids } = setUp();
  const { spec, values } = initialise(network.specs, Rng.fromSeed(2));
  const input = { ids: tf.tensor(ids, [2, 16], "int32"), classIds: tf.tensor1d([0, 1], "int32") };
  const logits = network.forward(toTensors(spec, values), input);
  expect(logits.shape).toEqual([2, 16, config.codebookSize]);
  const probabilities = numbers(tf.softmax(logits));
  expect(Math.max(...probabilities)).toBeLessThan(2 / K);
  expect(Math.min(...probabilities)).toBeGreaterThan(0.5 / K);
});

test("masks of ones at rate 0 change nothing; every site's mask reaches the logits", () => {
  const { ids, logits, network, length } = setUp();
  const sites = network.dropoutSites.map((site) => `dropout.${site}`);
  expect(sites).toHaveLength(2);
  const masks = Object.fromEntries(sites.map((site) => [site, tf.ones([2, length, 16], "int32")]));
  const whole = logits(ids, [0, 1], { dropout: { masks, rate: 0 } });
  expectTensorsClose(whole, logits(ids), 1e-6);
  for (const site of sites) {
    const holed = { ...masks, [site]: tf.concat([tf.zeros([2, length, 8], "int32"), tf.ones([2, length, 8], "int32")], 2) }; // prettier-ignore
    expect(changed(logits(ids, [0, 1], { dropout: { masks: holed, rate: 0 } }), whole, length), site).not.toEqual([]);
  }
});

test("mnist-pixelcnn has 1.05 M parameters on the digits' grids", () => {
  const data = { objective: "pixelcnn", codebookSize: 128, grid: [7, 7], classes: 10 };
  const { specs } = networkOf(priorConfig("mnist-pixelcnn", data));
  const count = Object.values(specs).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  expect(Math.abs(count / 1.05e6 - 1)).toBeLessThan(0.01);
});
