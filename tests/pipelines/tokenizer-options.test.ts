/** Options of the command line and fields of the configuration: every option is a field, and only what was given is replaced. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import {
  bottleneckChoice,
  bottleneckOptions,
  configOverrides,
  recipeOptions,
  sizeOptions,
} from "../../pipelines/tokenizer-options.ts";
import { TOKENIZER_PRESETS, tokenizerConfig } from "../../stage1-tokenizer/index.ts";

const GROUPS = { sizeOptions, bottleneckChoice, bottleneckOptions, recipeOptions };
const everything = z.strictObject({ ...sizeOptions, ...bottleneckChoice, ...bottleneckOptions, ...recipeOptions });

describe.each(Object.entries(GROUPS))("%s", (_name, group) => {
  test("are fields of the configuration, none of which has to be given", () => {
    for (const [name, schema] of Object.entries<z.ZodType>(group)) {
      expect(Object.keys(TOKENIZER_PRESETS.emoji64)).toContain(name);
      expect(schema.safeParse(undefined)).toEqual({ success: true, data: undefined });
    }
  });

  test("share no name with another group", () => {
    const others = Object.values(GROUPS).filter((other) => other !== group);
    for (const name of Object.keys(group)) for (const other of others) expect(other).not.toHaveProperty(name);
  });
});

test("every preset's own values are taken as options", () => {
  for (const preset of Object.values(TOKENIZER_PRESETS)) {
    const options = Object.keys(everything.shape).map((name) => [name, Object.entries(preset).find(([key]) => key === name)?.[1]]); // prettier-ignore
    expect(everything.safeParse({ ...Object.fromEntries(options), levels: undefined }).success).toBe(true);
  }
});

describe("overrides", () => {
  test("are what was given, and nothing that is no field", () => {
    expect(configOverrides({})).toEqual({});
    expect(configOverrides({ hidden: undefined, levels: undefined })).toEqual({});
    expect(configOverrides({ hidden: 8, steps: 3, source: "emoji", seed: 1, out: "x", normalizeCodes: false })).toEqual(
      {
        hidden: 8,
        steps: 3,
        normalizeCodes: false,
      },
    );
    expect(configOverrides({ augmentCrop: 0, klWeight: 0 })).toEqual({ augmentCrop: 0, klWeight: 0 });
  });

  test("reach the configuration, every one of them", () => {
    const changed = {
      ...{ imageSize: 32, stride: 4, hidden: 10, codebookSize: 60, codeDimension: 3 },
      ...{ bottleneck: "fsq", levels: "3,4,5", normalizeCodes: true, commitmentWeight: 0.5, codebookEmaDecay: 0.5 },
      ...{ revivalThreshold: 0.2, temperature: 3, temperatureFloor: 2, klWeight: 0.3, freeBits: 0.4 },
      ...{ reconstruction: "l1", batchSize: 5, learningRate: 0.25, schedule: "constant", warmupSteps: 2 },
      ...{ gradientClip: 1, weightEmaDecay: 0.9, augmentFlip: true, augmentCrop: 1, steps: 9 },
    };
    expect(Object.keys(changed).sort()).toEqual([...Object.keys(everything.shape), "steps"].sort());
    const { steps, ...options } = changed;
    const config = tokenizerConfig("emoji64", configOverrides({ ...everything.parse(options), steps }));
    expect(config).toMatchObject({ ...changed, levels: [3, 4, 5] });
  });

  test("levels are numbers joined by commas, and decide K", () => {
    const { levels } = configOverrides({ levels: "8,5,5" });
    expect(levels).toEqual([8, 5, 5]);
    expect(tokenizerConfig("emoji64", { bottleneck: "fsq", levels })).toMatchObject({ codebookSize: 200 });
    expect(configOverrides({ levels: "16" })).toEqual({ levels: [16] });
    for (const wrong of ["", "8,", ",8", "8 5", "8,x", "-8", "8.5"])
      expect(bottleneckChoice.levels.safeParse(wrong).success, wrong).toBe(false);
  });
});
