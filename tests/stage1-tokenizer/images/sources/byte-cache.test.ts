import { expect, test } from "vitest";
import { createByteCache } from "../../../../stage1-tokenizer/images/sources/byte-cache.ts";

/** A cache of texts of 10 bytes in all, and what was loaded, in order. */
function cacheOfTen() {
  const loads: string[] = [];
  const cache = createByteCache<string>(10, (text) => text.length);
  const get = (key: string, text = key) =>
    cache.get(key, async () => {
      loads.push(key);
      await Promise.resolve();
      return text;
    });
  return { loads, get };
}

test("keeps the most recently used within the budget", async () => {
  const { loads, get } = cacheOfTen();
  for (const key of ["aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb"]) expect(await get(key)).toBe(key);
  expect(loads).toEqual(["aaaa", "bbbb", "cccc", "bbbb"]);
});

test("a value larger than the budget is kept alone", async () => {
  const { loads, get } = cacheOfTen();
  for (const key of ["small", "longer than ten", "longer than ten", "small"]) await get(key);
  expect(loads).toEqual(["small", "longer than ten", "small"]);
});

test("who asks at once shares one load; of others one runs at a time", async () => {
  let running = 0;
  let most = 0;
  let loads = 0;
  const cache = createByteCache<number>(10, () => 1);
  const load = async () => {
    loads++;
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    return loads;
  };
  const values = await Promise.all(["a", "b", "a", "c", "b", "a"].map((key) => cache.get(key, load)));
  expect(values).toEqual([1, 2, 1, 3, 2, 1]);
  expect({ loads, most }).toEqual({ loads: 3, most: 1 });
});

test("a failure reaches all who asked, and is not kept", async () => {
  const cache = createByteCache<string>(10, (text) => text.length);
  const fail = () => Promise.reject(new Error("no"));
  const results = await Promise.allSettled([cache.get("a", fail), cache.get("a", fail)]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await cache.get("a", () => Promise.resolve("yes"))).toBe("yes");
});
