import { expect, test } from "vitest";
import { finiteEntries } from "../../shared/records.ts";

test("finite entries are those that JSON has a number for", () => {
  const figures = { zero: 0, low: -1.5, none: undefined, nan: NaN, high: Infinity, lowest: -Infinity };
  expect(finiteEntries(figures)).toEqual({ zero: 0, low: -1.5 });
});
