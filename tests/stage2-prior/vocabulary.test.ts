/** Ids: exact at both ends of the range, never clamped. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { UNKNOWN } from "../../shared/tokens.ts";
import {
  classIdCount,
  nullClassId,
  toCausalInputs,
  toClassIds,
  toIds,
  tokenIdCount,
  unknownId,
} from "../../stage2-prior/vocabulary.ts";

const codes = fc.integer({ min: 1, max: 600 }).chain((codebookSize) =>
  fc.record({
    codebookSize: fc.constant(codebookSize),
    tokens: fc.array(fc.integer({ min: 0, max: codebookSize - 1 }), { maxLength: 40 }),
  }),
);

test("codes keep their number, UNKNOWN becomes K, and every id has a row in the embedding table", () => {
  fc.assert(
    fc.property(codes, ({ codebookSize, tokens }) => {
      const ids = toIds(Int32Array.from([...tokens, UNKNOWN]), codebookSize);
      expect([...ids]).toEqual([...tokens, codebookSize]);
      expect(Math.max(...ids)).toBe(tokenIdCount(codebookSize) - 1);
    }),
  );
});

test.each([4, 5, -2, 1000])("token %d is refused at K = 4, with its position", (token) => {
  expect(() => toIds(Int32Array.of(0, 1, token), 4)).toThrow(/position 2 .*expected 0 … 3, got/);
  expect(() => toCausalInputs(Int32Array.of(0, 1, token), { codebookSize: 4, length: 3 })).toThrow(/position 2/);
});

test("causal inputs are each row shifted by one behind the start id", () => {
  fc.assert(
    fc.property(codes, fc.integer({ min: 1, max: 5 }), ({ codebookSize, tokens }, length) => {
      const rows = Math.floor(tokens.length / length);
      const whole = tokens.slice(0, rows * length);
      const inputs = toCausalInputs(Int32Array.from(whole), { codebookSize, length });
      inputs.forEach((id, cell) => expect(id).toBe(cell % length === 0 ? codebookSize : whole[cell - 1]));
      expect(inputs.length).toBe(whole.length);
    }),
  );
});

test("the start of a sequence is never a code", () => {
  expect(toCausalInputs(Int32Array.of(0, 0), { codebookSize: 4, length: 2 })[0]).toBe(unknownId(4));
  expect(unknownId(4)).toBeGreaterThanOrEqual(4);
});

test("causal inputs refuse an unknown token, even the last of a row, and rows that do not fill", () => {
  expect(() => toCausalInputs(Int32Array.of(1, UNKNOWN), { codebookSize: 4, length: 2 })).toThrow(/position 1/);
  expect(() => toCausalInputs(Int32Array.of(1, 2, 3), { codebookSize: 4, length: 2 })).toThrow(/multiple of L = 2/);
  expect(() => toCausalInputs(Int32Array.of(1), { codebookSize: 4, length: 0 })).toThrow(/multiple of L = 0/);
});

test("classes keep their number, none becomes C, and an unconditional prior knows only that", () => {
  expect([...toClassIds(Int32Array.of(2, UNKNOWN, 0), 3)]).toEqual([2, nullClassId(3), 0]);
  expect([...toClassIds(Int32Array.of(UNKNOWN, UNKNOWN), 0)]).toEqual([0, 0]);
  expect([nullClassId(0), classIdCount(0), classIdCount(3)]).toEqual([0, 1, 4]);
});

test.each([
  [3, 3],
  [-2, 3],
  [0, 0],
])("class %d of %d is refused", (label, classCount) => {
  expect(() => toClassIds(Int32Array.of(label), classCount)).toThrow(/class at position 0/);
});
