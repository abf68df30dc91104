import { describe, expect, test } from "vitest";
import { numberField, readThrift, structField } from "../../../../stage1-tokenizer/images/sources/thrift.ts";

test("numbers, bytes, lists and structures by their field, and where it ends", () => {
  const bytes = Uint8Array.of(
    ...[0x15, 0x07], // field 1: −4
    ...[0x26, 0xac, 0x02], // field 3: 150
    ...[0x18, 0x02, 0x61, 0x62], // field 4: "ab"
    ...[0x19, 0x25, 0x02, 0x04], // field 5: [1, 2]
    ...[0x1c, 0x11, 0x12, 0x00], // field 6: {true, false}
    ...[0x05, 0x40, 0x02], // field 32, in full: 1
    ...[0x00, 0xff],
  );
  const { fields, end } = readThrift(bytes, 0);
  expect(end).toBe(bytes.length - 1);
  expect([1, 3, 32, 2, 4].map((id) => numberField(fields, id))).toEqual([-4, 150, 1, undefined, undefined]);
  expect(fields.get(4)).toEqual(Uint8Array.of(0x61, 0x62));
  expect(fields.get(5)).toEqual([1, 2]);
  expect(structField(fields, 6)).toEqual(new Map([[1, 1], [2, 0]])); // prettier-ignore
  expect(structField(fields, 5)).toBeUndefined();
});

describe("refuses", () => {
  const endless = (length: number): number[] => Array<number>(length).fill(0x80);
  test.each<[string, number[], string]>([
    ["nothing", [], "cut off"],
    ["no end", [0x15, 0x02], "cut off"],
    ["a list of 2³¹ elements", [0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07], "list of 2147483647"],
    ["a text longer than the bytes", [0x18, 0x7f, 0x61], "cut off"],
    ["a number of 33 bits for 32", [0x15, 0x80, 0x80, 0x80, 0x80, 0x10], "out of range"],
    ["a number that a 32-bit reader would wrap", [0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00], "out of range"],
    ["a number without end", [0x16, ...endless(40)], "out of range"],
    ["structures in structures in structures", Array<number>(1000).fill(0x1c), "nested"],
    ["lists in lists in lists", [0x19, ...Array<number>(1000).fill(0x19)], "nested"],
    ["a type that Parquet has not", [0x1b, 0x00], "unknown type 11"],
  ])("%s", (_, bytes, part) => {
    expect(() => readThrift(Uint8Array.from(bytes), 0)).toThrow(part);
  });
});
