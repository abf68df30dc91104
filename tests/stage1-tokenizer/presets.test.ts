/** Presets by name, what is expected of them, and how one becomes another bottleneck's. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BOTTLENECKS, parseTokenizerConfig } from "../../stage1-tokenizer/config.ts";
import { EXPECTED, presetOf, TOKENIZER_PRESETS, tokenizerConfig } from "../../stage1-tokenizer/presets.ts";

const NAMES = Object.keys(TOKENIZER_PRESETS) as (keyof typeof TOKENIZER_PRESETS)[];
const product = (levels: readonly number[]): number => levels.reduce((codes, count) => codes * count, 1);

describe.each(NAMES)("%s", (name) => {
  test("fits the schema and knows its own name, also as read back and for other steps", () => {
    expect(presetOf(tokenizerConfig(name))).toBe(name);
    expect(presetOf(parseTokenizerConfig(JSON.parse(JSON.stringify(tokenizerConfig(name)))))).toBe(name);
    expect(presetOf(tokenizerConfig(name, { steps: 77 }))).toBe(name);
  });

  test("is no longer itself with any other field changed", () => {
    for (const change of [{ hidden: 10 }, { learningRate: 0.5 }, { bottleneck: "vq" }, { augmentFlip: true }])
      expect(presetOf(tokenizerConfig(name, change))).toBeUndefined();
  });

  test("has bands that ascend, each from low to high, within what figures can be", () => {
    const bands = EXPECTED[name];
    const steps = bands.map(({ step }) => step);
    expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
    for (const { step, nmse = [0, 1], perplexity = [1, 2] } of bands) {
      expect(step).toBeLessThanOrEqual(TOKENIZER_PRESETS[name].steps);
      expect(nmse[0]).toBeLessThan(nmse[1]);
      expect(perplexity[0]).toBeLessThan(perplexity[1]);
      expect(perplexity[1]).toBeLessThanOrEqual(TOKENIZER_PRESETS[name].codebookSize);
    }
  });

  test("fits every bottleneck", () => {
    for (const bottleneck of BOTTLENECKS) expect(tokenizerConfig(name, { bottleneck }).bottleneck).toBe(bottleneck);
  });
});

describe("a VAE", () => {
  test.each(["gaussian", "gaussian-vector"])(
    "of kind %s gets a likelihood, and keeps another one it is given",
    (bottleneck) => {
      expect(tokenizerConfig("emoji64", { bottleneck }).reconstruction).toBe("gaussian");
      expect(tokenizerConfig("emoji64", { bottleneck, reconstruction: "bce" }).reconstruction).toBe("bce");
      expect(() => tokenizerConfig("emoji64", { bottleneck, reconstruction: "l2" })).toThrow(/likelihood/);
    },
  );

  test("is what the likelihood is for: the others keep the preset's loss", () => {
    for (const bottleneck of ["vq", "gumbel", "none"])
      expect(tokenizerConfig("emoji64", { bottleneck }).reconstruction).toBe("l2");
  });
});

describe("fsq", () => {
  const fsq = (overrides: object = {}) => tokenizerConfig("emoji64", { bottleneck: "fsq", ...overrides });

  test.each([
    [64, [8, 8]],
    [128, [8, 4, 4]],
    [256, [8, 6, 5]],
    [512, [8, 8, 8]],
    [1024, [8, 5, 5, 5]],
    [4096, [7, 5, 5, 5, 5]],
    [65536, [8, 8, 8, 5, 5, 5]],
  ])("asked for %i codes takes the levels %j, and their product for K", (codebookSize, levels) => {
    expect(fsq({ codebookSize })).toMatchObject({ levels, codebookSize: product(levels) });
  });

  test("takes the nearest of its sets by ratio, whatever K", () => {
    const sizes = new Set<number>();
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 65536 }), (codebookSize) => {
        const config = fsq({ codebookSize });
        expect(product(config.levels)).toBe(config.codebookSize);
        sizes.add(config.codebookSize);
        const ratio = (size: number): number => Math.max(size / codebookSize, codebookSize / size);
        for (const size of [64, 128, 240, 512, 1000, 4375, 15360, 64000])
          expect(ratio(config.codebookSize)).toBeLessThanOrEqual(ratio(size) * (1 + 1e-12));
      }),
    );
    expect(sizes.size).toBeGreaterThan(3);
  });

  test("takes its K from levels that are given; both must agree", () => {
    expect(fsq({ levels: [3, 5] })).toMatchObject({ levels: [3, 5], codebookSize: 15 });
    expect(fsq({ levels: [3, 5], codebookSize: 15 })).toMatchObject({ levels: [3, 5], codebookSize: 15 });
    expect(() => fsq({ levels: [3, 5], codebookSize: 16 })).toThrow(
      /levels: must multiply to codebookSize 16, got 3·5/,
    );
  });

  test.each([1, 65537, 12.5, NaN, "64"])("refuses a K of %s as the others do", (codebookSize) => {
    expect(() => fsq({ codebookSize })).toThrow(expect.objectContaining({ code: "usage", message: expect.stringContaining("codebookSize:") as string }) as Error); // prettier-ignore
  });

  test("is the only one with levels", () => {
    for (const bottleneck of BOTTLENECKS.filter((name) => name !== "fsq"))
      expect(tokenizerConfig("emoji64", { bottleneck, codebookSize: 100 })).toMatchObject({
        levels: [],
        codebookSize: 100,
      });
  });
});
