import { expect, test } from "vitest";
import { KeySet } from "../../shared/key-set.ts";

test("a key set knows exactly the keys that were added", () => {
  const set = new KeySet();
  for (let i = 0; i < 5000; i++) expect(set.add(`key ${i}`)).toBe(true);
  for (let i = 0; i < 5000; i++) expect(set.add(`key ${i}`)).toBe(false);
  expect(set.has("key 5000")).toBe(false);
  expect(set.size).toBe(5000);
});
