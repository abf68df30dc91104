import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { rotaryTables, rotate } from "../../../shared/nn/rotary.ts";
import { entryOf, initialise, sizeOf } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";
import { PRIOR_PRESETS, priorConfig } from "../../../stage2-prior/config.ts";
import { transformerSpecs, type TransformerSize } from "../../../stage2-prior/model/weights.ts";
import { sizeOfPrior } from "../../../stage2-prior/model/index.ts";
import { tinyPrior } from "../tiny-config.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const data = { objective: "causal", codebookSize: 512, grid: [32, 32], classes: 0 };
const parametersOf = (size: TransformerSize): number =>
  Object.values(transformerSpecs(size)).reduce((sum, { shape }) => sum + sizeOf(shape), 0);

test.each([
  ["emoji-small", 1e6],
  ["base", 5e6],
] as const)("%s has about %d parameters", (preset, expected) => {
  const count = parametersOf(sizeOfPrior(priorConfig(preset, data)));
  expect(Math.abs(count / expected - 1)).toBeLessThan(0.15);
  expect(Object.keys(PRIOR_PRESETS)).toContain(preset);
});

test("the table of tokens has a row for the unknown id, the head none; the table of classes one for no class", () => {
  const specs = transformerSpecs(sizeOfPrior(tinyPrior()));
  expect(specs["embed.token"]?.shape).toEqual([8, 16]);
  expect(specs["head.kernel"]?.shape).toEqual([16, 7]);
  expect(specs["embed.class"]?.shape).toEqual([4, 16]);
});

test("first values depend on the seed and the name alone: a third layer leaves the others as they were", () => {
  // Residual projections are scaled by depth and biases aim by layer: the rest must agree to the bit.
  const valuesOf = (layers: number) =>
    initialise(transformerSpecs(sizeOfPrior(tinyPrior({ layers }))), Rng.fromSeed(1)).values;
  const [two, three] = [valuesOf(2), valuesOf(3)];
  for (const name of ["embed.token", "block0.qkv.kernel", "block1.qkv.bias", "block1.up.kernel", "head.kernel"])
    expect(three[name], name).toEqual(two[name]);
});

test("specs can be drawn again: the listed biases are the same from another draw of the same specs", () => {
  const specs = transformerSpecs(sizeOfPrior(tinyPrior()));
  expect(initialise(specs, Rng.fromSeed(1)).values["block0.qkv.bias"]).toEqual(
    initialise(specs, Rng.fromSeed(2)).values["block0.qkv.bias"],
  );
});

describe.each([true, false])("neighbour heads, causal: %o", (causal) => {
  const grid = [32, 32] as const;
  const size = { width: 128, layers: 4, heads: 4, feedForward: 352, codebookSize: 9, grid, classes: 0, causal };
  const [headDimension, heads] = [32, 4];
  /** Draws this one weight alone: the others are a million normals. */
  const biasesOf = (layer: number): number[] => {
    const name = `block${layer}.qkv.bias`;
    const { values } = initialise({ [name]: entryOf(transformerSpecs(size), name) }, Rng.fromSeed(1));
    return [...entryOf(values, name)];
  };
  // A causal network holds the token before each position: the upper neighbour's token stands one to the right of it.
  const expected = causal
    ? [[[0, 0], [-1, 1], [-1, 0], [-1, 2]], [[0, -1], [-2, 1], [0, 0], [-1, 1]]] // prettier-ignore
    : [[[0, -1], [-1, 0], [0, 1], [1, 0]], [[-1, -1], [1, 1], [0, -1], [-1, 0]]]; // prettier-ignore

  test.each([0, 1])("in layer %d each head's attention peaks at its neighbour, before anything is learnt", (layer) => {
    const { cos, sin, shape } = rotaryTables(grid, headDimension);
    const angles = { cos: tf.tensor(cos, [shape[0], 1, shape[1]]), sin: tf.tensor(sin, [shape[0], 1, shape[1]]) };
    const bias = tf.tensor(biasesOf(layer), [3, heads, headDimension]);
    const turned = (which: number): tf.Tensor =>
      rotate(
        tf.tile(tf.reshape(tf.slice(bias, [which, 0, 0], [1, -1, -1]), [1, 1, heads, headDimension]), [1, 1024, 1, 1]),
        angles,
      );
    const [q, k] = [turned(0), turned(1)];
    const at = 16 * 32 + 15;
    const query = tf.reshape(tf.slice(q, [0, at, 0, 0], [1, 1, -1, -1]), [1, heads, headDimension]);
    const scores = tf.sum(tf.mul(tf.reshape(k, [1024, heads, headDimension]), query), -1).arraySync() as number[][];
    for (let head = 0; head < heads; head++) {
      const seen = scores.slice(0, causal ? at + 1 : 1024).map((row) => row[head] ?? NaN);
      const peak = seen.indexOf(Math.max(...seen));
      expect([Math.floor(peak / 32) - 16, (peak % 32) - 15]).toEqual(expected[layer]?.[head]);
    }
  });

  test("deeper layers start without a preference", () => {
    expect(biasesOf(2).every((value) => value === 0)).toBe(true);
  });
});
