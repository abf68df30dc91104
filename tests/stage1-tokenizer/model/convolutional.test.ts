import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { initialise } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";
import { decode, encode, modelSpecs, type ModelSize } from "../../../stage1-tokenizer/model/convolutional.ts";
import { toLevels, toUnit } from "../../../stage1-tokenizer/model/pixels.ts";
import { evaluationState, imagesToTokens, tokensToImages } from "../../../stage1-tokenizer/model/tokenize.ts";
import { initialTokenizerState } from "../../../stage1-tokenizer/training-step.ts";
import { toTensors } from "../../contracts/bottleneck.ts";
import { tinyConfig } from "../tiny-config.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const size: ModelSize = {
  stride: 2,
  hidden: 4,
  residualHidden: 2,
  residualLayers: 1,
  encoderChannels: 3,
  decoderChannels: 3,
};

describe("encoder and decoder", () => {
  test.each([
    [2, 16, 8],
    [4, 16, 4],
    [8, 16, 2],
  ])("stride %i: %i px → a grid of %i and back", (stride, side, grid) => {
    const model = { ...size, stride };
    const { spec, values } = initialise(modelSpecs(model), Rng.fromSeed(1));
    const weights = toTensors(spec, values);
    const zE = encode(weights, tf.zeros([2, side, side, 3]), model);
    expect(zE.shape).toEqual([2, grid, grid, 3]);
    expect(decode(weights, zE, model).shape).toEqual([2, side, side, 3]);
  });

  test("the paper's setting has the paper's weights: h/2 then h down, mirrored up", () => {
    const specs = modelSpecs({
      stride: 4,
      hidden: 128,
      residualHidden: 32,
      residualLayers: 2,
      encoderChannels: 64,
      decoderChannels: 64,
    });
    const shapes = (name: string): readonly number[] | undefined => specs[`${name}.kernel`]?.shape;
    expect(shapes("encoder.down0")).toEqual([4, 4, 3, 64]);
    expect(shapes("encoder.down1")).toEqual([4, 4, 64, 128]);
    expect(shapes("encoder.conv")).toEqual([3, 3, 128, 128]);
    expect(shapes("encoder.residual1.wide")).toEqual([3, 3, 128, 32]);
    expect(shapes("encoder.residual1.narrow")).toEqual([1, 1, 32, 128]);
    expect(shapes("encoder.toCode")).toEqual([1, 1, 128, 64]);
    expect(shapes("decoder.conv")).toEqual([3, 3, 64, 128]);
    expect(shapes("decoder.up0")).toEqual([4, 4, 64, 128]);
    expect(shapes("decoder.up1")).toEqual([4, 4, 3, 64]);
    expect(Object.keys(specs)).toHaveLength(2 * 15);
  });
});

describe("pixels", () => {
  test("toLevels undoes toUnit on every level", () => {
    const levels = tf.tensor1d(
      Int32Array.from({ length: 256 }, (_, i) => i),
      "int32",
    );
    const back = toLevels(toUnit(levels));
    expect(back.dtype).toBe("int32");
    expect([...back.dataSync()]).toEqual([...levels.dataSync()]);
  });

  test("toUnit spans −0.5 … 0.5, and toLevels clamps what lies outside", () => {
    expect([...toUnit(tf.tensor1d([0, 255], "int32")).dataSync()]).toEqual([-0.5, 0.5]);
    fc.assert(
      fc.property(fc.float({ min: -10, max: 10, noNaN: true }), (x) => {
        const level = toLevels(tf.tensor1d([x])).dataSync()[0] ?? NaN;
        expect(level).toBeGreaterThanOrEqual(0);
        expect(level).toBeLessThanOrEqual(255);
      }),
      { numRuns: 30 },
    );
  });
});

test("images → tokens → images: ids below K on the grid, whole levels in the images' shape", () => {
  const config = tinyConfig({});
  const { spec, values } = initialTokenizerState(config, Rng.fromSeed(1));
  const state = evaluationState(toTensors(spec, values));
  const tokens = imagesToTokens(config, state, tf.fill([2, 8, 8, 3], 100, "int32"));
  expect(tokens.shape).toEqual([2, 4, 4]);
  expect(Math.max(...tokens.dataSync())).toBeLessThan(config.codebookSize);
  const images = tokensToImages(config, state, tokens);
  expect(images.shape).toEqual([2, 8, 8, 3]);
  expect(images.dtype).toBe("int32");
});

test("evaluationState reads the averages where they are kept, and drops the optimizer's part", () => {
  const state = { "weight/a": 1, "adam.m/a": 2, "codebook/counts": 3, step: 4 };
  expect(evaluationState(state)).toEqual({ "weight/a": 1, "codebook/counts": 3 });
  expect(evaluationState({ ...state, "ema/a": 5 })).toEqual({ "weight/a": 5, "codebook/counts": 3 });
});
