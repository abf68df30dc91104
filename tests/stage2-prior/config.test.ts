import { describe, expect, test } from "vitest";
import { EXIT_CODES } from "../../shared/errors.ts";
import { PRIOR_PRESETS, priorConfig } from "../../stage2-prior/config.ts";
import { LEARNT_OBJECTIVES } from "../../stage2-prior/signature.ts";

const DATA = { objective: "causal", codebookSize: 512, grid: [32, 32], classes: 9 };

describe.each(Object.keys(PRIOR_PRESETS))("preset %s", (preset) => {
  test.each(LEARNT_OBJECTIVES)("is complete for the %s objective", (objective) => {
    expect(priorConfig(preset, { ...DATA, objective })).toMatchObject({ ...DATA, objective });
  });

  test("feeds forward 8/3 of the width, rounded up to a multiple of 32", () => {
    const { width, feedForward } = priorConfig(preset, DATA);
    expect(feedForward).toBe(Math.ceil((8 / 3) * (width / 32)) * 32);
  });
});

test("values given replace the preset's", () => {
  expect(priorConfig("emoji-small", { ...DATA, layers: 7 }).layers).toBe(7);
});

test("a pixelcnn reads no heads: they need not fit its width", () => {
  expect(priorConfig("base", { ...DATA, objective: "pixelcnn", width: 30 }).width).toBe(30);
});

test.each([
  ["an unknown preset", "huge", {}, /emoji-small, base/],
  ["an unknown key", "base", { learningrate: 1 }, /unknown key learningrate \(did you mean learningRate\?\)/],
  ["an unknown objective", "base", { objective: "bert" }, /causal or masked or diffusion or pixelcnn/],
  ["an unknown mask schedule", "base", { maskSchedule: "cubic" }, /cosine/],
  ["an unknown schedule", "base", { schedule: "step" }, /warmup-cosine/],
  ["heads that do not divide the width", "base", { heads: 7 }, /heads: must divide width 256, got 7/],
  ["heads whose dimension has no pairs for two axes", "base", { width: 48, heads: 8 }, /multiple of 4.*got 6/],
  ["NaN", "base", { learningRate: NaN }, /learningRate/],
  ["an infinite rate", "base", { learningRate: Infinity }, /learningRate/],
  ["text for a number", "base", { batchSize: "4" }, /batchSize/],
  ["half a layer", "base", { layers: 1.5 }, /layers/],
  ["no image a step", "base", { batchSize: 0 }, /batchSize/],
  ["dropout of everything", "base", { dropout: 1 }, /dropout/],
  ["a negative label drop", "base", { labelDrop: -0.1 }, /labelDrop/],
  ["a grid without height", "base", { grid: [0, 32] }, /grid/],
  ["a grid of one axis", "base", { grid: [32] }, /grid/],
  ["a codebook that token files cannot hold", "base", { codebookSize: 65537 }, /codebookSize/],
  ["a warm-up as long as the run", "base", { steps: 50, warmupSteps: 50 }, /warmupSteps: must be below steps 50/],
])("%s is a usage error that says so", (_what, preset, values, message) => {
  const parse = (): unknown => priorConfig(preset, { ...DATA, ...values });
  expect(parse).toThrow(message);
  expect(parse).toThrow(expect.objectContaining({ exitCode: EXIT_CODES.usage }));
});

test("what the token files must say has no default", () => {
  for (const name of Object.keys(DATA)) {
    const partial = Object.fromEntries(Object.entries(DATA).filter(([key]) => key !== name));
    expect(() => priorConfig("base", partial)).toThrow(new RegExp(name));
  }
});
