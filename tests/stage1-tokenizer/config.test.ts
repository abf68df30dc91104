import { describe, expect, test } from "vitest";
import { gridOf, parseTokenizerConfig } from "../../stage1-tokenizer/config.ts";
import { TOKENIZER_PRESETS, tokenizerConfig } from "../../stage1-tokenizer/presets.ts";

describe("tokenizer config", () => {
  test.each([
    ["emoji64", 32],
    ["paper128", 32],
    ["lecture256", 32],
    ["cifar32", 8],
  ])("preset %s parses and gives a %i×%i grid", (name, side) => {
    expect(gridOf(tokenizerConfig(name))).toEqual([side, side]);
  });

  test("overrides win", () => {
    expect(tokenizerConfig("emoji64", { steps: 7 }).steps).toBe(7);
  });

  test.each([
    ["an unknown key", { hiden: 64 }, /hiden/],
    ["a size the stride does not divide", { imageSize: 65 }, /imageSize: must be a multiple of stride 2, got 65/],
    ["a stride that is no power of two", { stride: 3 }, /stride/],
    ["K = 1", { codebookSize: 1 }, /codebookSize/],
    ["K beyond 16 bits", { codebookSize: 65537 }, /codebookSize/],
    ["a fractional K", { codebookSize: 12.5 }, /codebookSize/],
    ["NaN", { learningRate: NaN }, /learningRate/],
    ["an infinite rate", { learningRate: Infinity }, /learningRate/],
    ["a decay of 1", { codebookEmaDecay: 1 }, /codebookEmaDecay/],
    ["an odd number of channels", { hidden: 63 }, /hidden/],
    ["an empty batch", { batchSize: 0 }, /batchSize/],
    ["a text for a number", { batchSize: "16" }, /batchSize/],
    ["an unknown bottleneck", { bottleneck: "vqq" }, /bottleneck/],
    [
      "levels that are not K",
      { bottleneck: "fsq", levels: [8, 8], codebookSize: 512 },
      /levels: must multiply to codebookSize 512, got 8·8/,
    ],
    ["levels for another bottleneck", { levels: [8, 8] }, /levels: are read by fsq only, not by vq-ema/],
    [
      "a VAE without a likelihood",
      { bottleneck: "gaussian", reconstruction: "l2" },
      /reconstruction: must be a likelihood for gaussian/,
    ],
    ["a temperature that rises", { temperatureFloor: 2 }, /temperatureFloor: must not be above temperature 1/],
    ["a crop as large as the image", { augmentCrop: 64 }, /augmentCrop: must be below imageSize 64/],
    ["an unknown schedule", { schedule: "step" }, /schedule/],
    [
      "a cosine inside its warm-up",
      { schedule: "warmup-cosine", steps: 5, warmupSteps: 5 },
      /warmupSteps: must be below steps 5/,
    ],
  ])("%s is a usage error that names the field", (_what, overrides, message) => {
    expect(() => tokenizerConfig("emoji64", overrides)).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringMatching(message) as string }) as Error,
    );
  });

  test("a missing field and something that is no object are usage errors", () => {
    const incomplete = { ...TOKENIZER_PRESETS.emoji64, steps: undefined };
    expect(() => parseTokenizerConfig(incomplete)).toThrow(/steps/);
    expect(() => parseTokenizerConfig(null)).toThrow(expect.objectContaining({ code: "usage" }) as Error);
  });

  test("an unknown preset names those that exist, and an inherited property is none", () => {
    expect(() => tokenizerConfig("emoji65")).toThrow(/emoji64, paper128, lecture256, cifar32, mnist28, got emoji65/);
    expect(() => tokenizerConfig("toString")).toThrow(/unknown tokenizer preset/);
  });
});
