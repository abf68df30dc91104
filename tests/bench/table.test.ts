import { describe, expect, test } from "vitest";
import { formatFigure, formatRows } from "./table.ts";

describe("formatFigure", () => {
  test.each([
    [0.01234, "0.0123"],
    [1.5, "1.50"],
    [49.26, "49.3"],
    [99.94, "99.9"],
    [99.96, "100"],
    [1234.4, "1,234"],
  ])("%d is %s", (value, text) => {
    expect(formatFigure(value)).toBe(text);
  });
});

describe("formatRows", () => {
  test("shows both runs, the peer, the ratio and the share; leaves out what there is not", () => {
    const [, compared, alone] = formatRows([
      { work: "a", unit: "ms", ours: 500, runs: [490, 510], peer: 600, ratio: 1.2, ceilingShare: 0.456 },
      { work: "b", unit: "s", ours: 2, note: "the peer has no PIL" },
    ]).split("\n");
    expect(compared?.split(/ {2,}/)).toEqual(["a", "ms", "490 / 510", "600", "1.20", "46 %"]);
    expect(alone?.split(/ {2,}/)).toEqual(["b", "s", "2.00", "the peer has no PIL"]);
  });

  test("growth has a table of its own", () => {
    const growth = { points: [[2, 10], [4, 20.5]], exponent: 1.04, arithmetic: 1 } as const; // prettier-ignore
    const grown = { work: "g, batch", unit: "exponent", ours: 1.04, growth };
    const [header, line, ...rest] = formatRows([grown]).split("\n");
    expect(header?.split(/ {2,}/)).toEqual(["growth", "ms at size", "exponent", "of the arithmetic"]);
    expect(line?.split(/ {2,}/)).toEqual(["g, batch", "2: 10.0", "4: 20.5", "1.04", "1.00"]);
    expect(rest).toEqual([]);
    expect(formatRows([{ work: "a", unit: "s", ours: 1 }, grown]).split("\n\n")).toHaveLength(2);
  });
});
