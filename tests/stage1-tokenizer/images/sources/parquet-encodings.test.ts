import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkValues, countPresent } from "../../../../stage1-tokenizer/images/sources/parquet-encodings.ts";

/** Little-endian groups of seven bits. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

/** A run of one level, or the levels side by side, filled up to eights. */
function encodeRun(levels: readonly number[], width: number): number[] {
  const [first = 0] = levels;
  if (levels.every((level) => level === first)) return [...varint(levels.length * 2), first];
  const groups = Math.ceil(levels.length / 8);
  const bytes = Array<number>(groups * width).fill(0);
  levels.forEach((level, i) => {
    const at = Math.floor((i * width) / 8);
    bytes[at] = (bytes[at] ?? 0) | (level << ((i * width) % 8));
  });
  return [...varint(groups * 2 + 1), ...bytes];
}

test("counts the values at the highest level, whatever the runs", () => {
  const levels = fc.constantFrom(1, 2);
  const run = (highest: number) =>
    fc.oneof(
      fc.tuple(fc.nat(highest), fc.integer({ min: 1, max: 300 })).map(([level, n]) => Array<number>(n).fill(level)),
      // Only the last run may end within a group of eight.
      fc.integer({ min: 1, max: 5 }).chain((n) => fc.array(fc.nat(highest), { minLength: 8 * n, maxLength: 8 * n })),
    );
  fc.assert(
    fc.property(
      levels.chain((highest) => fc.tuple(fc.constant(highest), fc.array(run(highest), { maxLength: 6 }), fc.nat(7))),
      ([highest, runs, last]) => {
        const ragged = Array.from({ length: last }, (_, i) => i % (highest + 1));
        const all = [...runs, ragged].filter((values) => values.length > 0);
        const bytes = Uint8Array.from(all.flatMap((values) => encodeRun(values, highest)));
        const expected = all.flat();
        const present = expected.filter((level) => level === highest).length;
        expect(countPresent(bytes, highest, expected.length)).toBe(present);
        expect(() => countPresent(bytes, highest, expected.length + 8)).toThrow("fewer than");
      },
    ),
  );
});

describe("refuses", () => {
  const [indices, truth, deltas, sharedBeginnings] = [8, 3, 5, 7];
  const huge = varint(2 ** 32 - 2);

  test.each<[string, number, number[], string]>([
    ["a repeated index for more values than there are", indices, [4, ...varint(2 * 11), 1], "run of 11 values"],
    ["a repeated index for 2³¹ values", indices, [4, ...huge, 1], "out of range"],
    ["2³⁰ indices of no bits", indices, [0, ...varint(2 ** 28 + 1)], "run of 1073741824 values where 10 are left"],
    ["indices of 33 bits", indices, [33, 20, 1], "33 bits"],
    ["a length that never ends", indices, [4, ...Array<number>(12).fill(0x80)], "out of range"],
    ["truth values", truth, [], "truth values"],
    ["blocks of less than nothing", deltas, [...huge, 4, 10, 0, 0, 0, 0, 0, 0], "out of range"],
    ["blocks in no parts", deltas, [...varint(128), 0, 10, 0], "blocks of 128 values in 0 parts"],
    ["blocks in uneven parts", deltas, [...varint(128), 32, 10, 0], "blocks of 128 values in 32 parts"],
    ["more differences than values", deltas, [...varint(128), 4, 11, 0], "11 differences of 10"],
    ["differences of 65 bits", deltas, [...varint(128), 4, 10, 0, 0, 65, 0, 0, 0], "65 bits"],
    ["differences without their widths", deltas, [...varint(128), 4, 10, 0, 0, 1], "cut off"],
    [
      "a second list of differences that is missing",
      sharedBeginnings,
      [...varint(128), 4, 10, 0, 0, 0, 0, 0, 0],
      "cut off",
    ],
  ])("%s", (_, encoding, bytes, part) => {
    expect(() => checkValues(Uint8Array.from(bytes), encoding, 10)).toThrow(part);
  });

  test("levels cut off, or longer than the page", () => {
    expect(() => countPresent(Uint8Array.of(3), 1, 8)).toThrow("fewer than 8");
    expect(() => countPresent(Uint8Array.of(), 1, 8)).toThrow("fewer than 8");
    expect(() => countPresent(Uint8Array.of(18, 1), 1, 8)).toThrow("run of 9 values where 8 are left");
  });
});

test("lets through what is right", () => {
  const deltas = [...varint(128), 4, 10, 7, 2, 3, 0, 0, 0, ...Array<number>(12).fill(5)];
  checkValues(Uint8Array.from(deltas), 5, 10);
  checkValues(Uint8Array.from([...deltas, ...deltas]), 7, 10);
  checkValues(Uint8Array.of(2, 5, 0, 0, 0, 0), 8, 10);
  expect(() => checkValues(Uint8Array.from(deltas), 5, 9)).toThrow("10 differences of 9");
});
