import fc from "fast-check";
import { expect, test } from "vitest";
import { createKeyHashes } from "../../../../stage1-tokenizer/images/sources/key-hashes.ts";
import { orderClasses, sortByCodePoint } from "../../../../stage1-tokenizer/images/sources/class-names.ts";

test("code points, not UTF-16 units, decide", () => {
  const names = ["\u{1f600}", "\uff5e", "z", "Z", ""];
  expect(sortByCodePoint(names, (name) => name)).toEqual(["", "Z", "z", "\uff5e", "\u{1f600}"]);
});

test("classes that are all integers are in numeric order, else all are text", () => {
  expect(orderClasses(new Set(["10", "9", "-1", "0", "123456789012345678901", "123456789012345678900"]))).toEqual([
    ...["-1", "0", "9", "10", "123456789012345678900", "123456789012345678901"],
  ]);
  expect(orderClasses(new Set(["10", "9", "b"]))).toEqual(["10", "9", "b"]);
  expect(orderClasses(new Set(["1", "01"]))).toEqual(["01", "1"]);
});

test("keys that were added twice are repeated, others are not", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 2 }), { maxLength: 40 }), fc.boolean(), (words, many) => {
      const hashes = createKeyHashes();
      const keys = [...words, ...Array.from({ length: many ? 3000 : 0 }, (_, i) => `key ${i}`)];
      for (const key of keys) hashes.add(key);
      const repeated = hashes.repeated();
      const twice = new Set(words.filter((word, i) => words.indexOf(word) !== i));
      expect(repeated === undefined).toBe(twice.size === 0);
      expect(keys.filter((key) => repeated?.(key) === true)).toEqual(keys.filter((key) => twice.has(key)));
    }),
    { numRuns: 30 },
  );
});
