import fc from "fast-check";
import { expect, test } from "vitest";
import { isHeldOut, splitByFamily } from "../../../stage1-tokenizer/images/index.ts";
import { USAGE } from "./fixtures.ts";

const fraction = fc.double({ min: 0, max: 0.99, noNaN: true });
const family = fc.record({ family: fc.string({ minLength: 1 }) });

test("a record keeps its side when others come, go or change places", () => {
  fc.assert(
    fc.property(fc.array(family), fc.array(family), fraction, (some, more, heldOutFraction) => {
      const alone = splitByFamily(some, { heldOutFraction });
      const together = splitByFamily([...more, ...some].reverse(), { heldOutFraction });
      for (const record of alone.heldOut) expect(together.heldOut).toContain(record);
      for (const record of alone.training) expect(together.training).toContain(record);
    }),
  );
});

test("every record is on one side, in the given order, and families are not divided", () => {
  fc.assert(
    fc.property(fc.array(family), fraction, (records, heldOutFraction) => {
      const { training, heldOut } = splitByFamily(records, { heldOutFraction });
      const held = new Set(heldOut.map((record) => record.family));
      expect(records.filter((record) => !held.has(record.family))).toEqual(training);
      expect(records.filter((record) => held.has(record.family))).toEqual(heldOut);
    }),
  );
});

test("about the fraction asked for is held out; a larger one holds out the same and more; salts differ", () => {
  const families = Array.from({ length: 4000 }, (_, i) => `family ${i}`);
  const held = (heldOutFraction: number, salt?: string) =>
    families.filter((name) => isHeldOut(name, salt === undefined ? { heldOutFraction } : { heldOutFraction, salt }));
  expect(held(0.1).length / 4000).toBeCloseTo(0.1, 1);
  expect(held(0)).toEqual([]);
  const larger = new Set(held(0.3));
  expect(held(0.1).every((name) => larger.has(name))).toBe(true);
  expect(held(0.1, "other")).not.toEqual(held(0.1));
});

test.each([-0.1, 1, Number.NaN])("a fraction of %d is refused", (heldOutFraction) => {
  expect(() => splitByFamily([], { heldOutFraction })).toThrow(expect.objectContaining(USAGE));
});
