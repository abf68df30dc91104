import { describe, expect, test } from "vitest";
import { createManifest, type JsonValue } from "../../shared/artifact.ts";
import { parsePriorManifest, priorManifestConfig } from "../../stage2-prior/manifest.ts";
import { tinyPrior } from "./tiny-config.ts";

const FINGERPRINT = "a".repeat(64);
const SHAPE = { objective: "masked", codebookSize: 7, grid: [4, 4], classes: ["x"], maskSchedule: "arccos" } as const;

function parse(config: JsonValue, fingerprint: string | undefined = FINGERPRINT) {
  const fields = { kind: "prior", config, ...(fingerprint === "" ? {} : { fingerprint }) } as const;
  return parsePriorManifest(createManifest("priors/p", fields, {}), "priors/p");
}

test("gives back what was published, with the tokenizer's fingerprint; training fields decide nothing", () => {
  const config = priorManifestConfig(SHAPE, tinyPrior({ classes: 1 }));
  expect(config).toMatchObject({ learningRate: 1e-2, batchSize: 2, classes: ["x"] });
  expect(parse(JSON.parse(JSON.stringify(config)) as JsonValue)).toEqual({ ...SHAPE, fingerprint: FINGERPRINT });
});

test("the least that another maker must say: objective, K, grid and classes", () => {
  const least = { objective: "masked", codebookSize: 7, grid: [4, 4], classes: [] };
  expect(parse(least)).toEqual({ ...least, maskSchedule: "cosine", fingerprint: FINGERPRINT });
});

describe("bad input (3)", () => {
  const good = { ...SHAPE, grid: [4, 4], classes: ["x"] };
  test.each([
    ["no configuration", null, /config/],
    ["an objective that there is not", { ...good, objective: "bert" }, /objective/],
    ["a codebook of one", { ...good, codebookSize: 1 }, /codebookSize/],
    ["half a code", { ...good, codebookSize: 7.5 }, /codebookSize/],
    ["a codebook beyond every bound", { ...good, codebookSize: 2 ** 40 }, /codebookSize/],
    ["a grid of one axis", { ...good, grid: [4] }, /grid/],
    ["a grid without width", { ...good, grid: [4, 0] }, /grid/],
    ["a number of classes where names are wanted", { ...good, classes: 3 }, /classes/],
    ["a mask schedule that there is not", { ...good, maskSchedule: "cubic" }, /maskSchedule/],
  ])("%s", (_what, config, message) => {
    expect(() => parse(config)).toThrow(expect.objectContaining({ exitCode: 3 }) as Error);
    expect(() => parse(config)).toThrow(message);
    expect(() => parse(config)).toThrow(/priors\/p/);
  });

  test.each(["objective", "codebookSize", "grid", "classes"])("without %s", (name) => {
    const partial = Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
    expect(() => parse(partial)).toThrow(new RegExp(name));
  });

  test("without a fingerprint nobody knows whose tokens it learnt", () => {
    expect(() => parse(good, "")).toThrow(expect.objectContaining({ exitCode: 3 }) as Error);
    expect(() => parse(good, "")).toThrow(/fingerprint/);
  });
});
