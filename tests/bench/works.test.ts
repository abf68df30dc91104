import { describe, expect, test } from "vitest";
import { selectWorks, toRow, WORKS } from "./works.ts";

const names = (of: readonly string[]): string[] => selectWorks(of).map(({ name }) => name);

describe("selectWorks", () => {
  test("names are unique", () => {
    expect(new Set(WORKS.map(({ name }) => name)).size).toBe(WORKS.length);
  });

  test("takes a work by its name and a family by what its names begin with", () => {
    expect(names(["encode-16"])).toEqual(["encode-16"]);
    expect(names(["causal"])).toEqual(["causal-1m", "causal-5m"]);
    expect(names(["memory"])).toEqual(["memory"]);
  });

  test("growth and memory run when they are asked for only", () => {
    const usual = names([]);
    expect(usual).toContain("vqvae-128");
    expect(usual.filter((name) => /^(growth|memory)/.test(name))).toEqual([]);
    expect(names(["growth"])).toEqual(["growth-vqvae", "growth-causal"]);
  });

  test("an unknown name is a usage error, also beside a known one", () => {
    expect(() => selectWorks(["vqvae", "vqva"])).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("toRow", () => {
  const ceilings = { gemm: 200, conv: 100, copy: 10 };

  test("the ratio is the peer over the mean of ours, the share that of the named ceiling", () => {
    const work = { name: "w", unit: "ms", flops: 25e9, ceiling: "conv" } as const;
    expect(toRow(work, [0.4, 0.6], 1, ceilings)).toEqual({
      work: "w",
      unit: "ms",
      ours: 500,
      runs: [400, 600],
      peer: 1000,
      ratio: 2,
      ceilingShare: 0.5,
    });
  });

  test("without a peer there is no ratio, without a ceiling no share; megabytes stay what they are", () => {
    expect(toRow({ name: "w", unit: "MB" }, [300], undefined, ceilings)).toEqual({
      work: "w",
      unit: "MB",
      ours: 300,
      runs: [300],
    });
  });
});
