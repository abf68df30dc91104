import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import {
  type BatchesOptions,
  createBatches,
  createPreprocessing,
  type ImageFailure,
  type ImageRecord,
} from "../../../stage1-tokenizer/images/index.ts";
import { BAD_INPUT, pixelRecords, USAGE } from "./fixtures.ts";

const preprocessing = createPreprocessing([1, 1]);

function make(records: readonly ImageRecord[], changes: Partial<BatchesOptions> = {}) {
  const rng = Rng.fromSeed(7);
  return createBatches({ records, preprocessing, batchSize: 4, rng, shuffle: true, ...changes });
}

test("batch(step) is a slice of the epochs' permutations, in any order of asking", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 12 }),
      fc.array(fc.nat(20), { minLength: 1, maxLength: 5 }),
      fc.nat(),
      async (count, batchSize, steps, seed) => {
        const rng = Rng.fromSeed(seed);
        const { records } = pixelRecords(count);
        const batches = make(records, { batchSize, rng });
        for (const step of steps) {
          const indices = Array.from({ length: batchSize }, (_, i) => {
            const position = step * batchSize + i;
            const order = rng.fork("shuffle", Math.floor(position / count)).permutation(count);
            return order[position % count] ?? -1;
          });
          const batch = await batches.batch(step);
          expect(batch.keys).toEqual(indices.map((i) => `image-${i}`));
          expect([...batch.labels]).toEqual(indices.map((i) => (i % 2 === 0 ? i % 3 : -1)));
          expect([...batch.images]).toEqual(indices.flatMap((i) => [i, 2 * i, 3 * i]));
        }
        await batches.close();
      },
    ),
    { numRuns: 40 },
  );
});

test("without shuffling every epoch has the records' order", async () => {
  const batches = make(pixelRecords(3).records, { shuffle: false });
  expect((await batches.batch(1)).keys).toEqual(["image-1", "image-2", "image-0", "image-1"]);
  expect(batches.count).toBe(3);
});

test("the caller may write into a batch: asked for again it is whole, from the cache or not", async () => {
  for (const cacheBytes of [0, 1 << 20]) {
    const batches = make(pixelRecords(5).records, { cacheBytes });
    const first = await batches.batch(2);
    const expected = first.images.slice();
    first.images.fill(99);
    expect((await batches.batch(2)).images).toEqual(expected);
    await batches.close();
  }
});

test("the next two batches are read ahead, and no more", async () => {
  const { records, reads } = pixelRecords(100);
  const batches = make(records, { shuffle: false, batchSize: 10 });
  await batches.batch(0);
  for (let i = 0; i < 50; i++) await turn();
  expect(reads.size).toBe(30);
  await batches.close();
});

test.each([
  [6 * 3, 0],
  [2 * 3, 4],
  [0, 6],
])("a cache of %d bytes leaves %d of six images to be read in each later epoch", async (cacheBytes, expected) => {
  const { records, reads } = pixelRecords(6);
  const batches = make(records, { batchSize: 6, cacheBytes });
  const total = () => [...reads.values()].reduce((sum, count) => sum + count, 0);
  await batches.batch(0); // and 1 and 2 ahead: all three may find the cache still empty
  for (let i = 0; i < 50; i++) await turn();
  const before = total();
  for (const step of [1, 2]) await batches.batch(step); // and 3 and 4 ahead
  for (let i = 0; i < 50; i++) await turn();
  expect(total() - before).toBe(2 * expected);
  await batches.close();
});

describe("records that cannot be decoded", () => {
  test("are replaced by the next good one of the permutation and reported once, whatever was asked before", async () => {
    const broken = new Set([1, 2, 5]);
    const { records } = pixelRecords(8, broken);
    const order = Rng.fromSeed(7).fork("shuffle", 0).permutation(8);
    const expected = Array.from(order, (_, i) => {
      let k = i;
      while (broken.has(order[k % 8] ?? -1)) k++;
      return `image-${order[k % 8] ?? -1}`;
    });
    for (const asked of [[0], [3, 2, 1, 0], [0, 0]]) {
      const failures: ImageFailure[] = [];
      const batches = make(records, { batchSize: 8, onFailure: (failure) => failures.push(failure) });
      let keys: readonly string[] = [];
      for (const step of asked) ({ keys } = await batches.batch(step));
      expect(keys).toEqual(expected);
      await batches.close();
      expect(failures.map(({ key }) => key).sort()).toEqual(["image-1", "image-2", "image-5"]);
      expect(failures.every(({ error }) => error.message.includes("image-"))).toBe(true);
    }
  });

  test("none left is bad input, each reported once", async () => {
    const failures: string[] = [];
    const { records } = pixelRecords(3, new Set([0, 1, 2]));
    const batches = make(records, { onFailure: ({ key }) => failures.push(key) });
    await expect(batches.batch(0)).rejects.toMatchObject(BAD_INPUT);
    await batches.close();
    expect(failures.sort()).toEqual(["image-0", "image-1", "image-2"]);
  });

  test("are thrown where asked for if nobody listens, and decoding them ahead rejects nothing unhandled", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    try {
      const { records } = pixelRecords(12, new Set([5]));
      const batches = make(records, { shuffle: false });
      await batches.batch(0);
      for (let i = 0; i < 50; i++) await turn();
      expect(unhandled).toEqual([]);
      await expect(batches.batch(1)).rejects.toMatchObject(BAD_INPUT);
      expect((await batches.batch(2)).keys[0]).toBe("image-8");
      await batches.close();
      for (let i = 0; i < 5; i++) await turn();
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", listen);
    }
  });
});

test("no records, a batch size or step out of range, and a closed set are refused", async () => {
  const { records } = pixelRecords(3);
  expect(() => make([])).toThrow(expect.objectContaining(BAD_INPUT));
  for (const batchSize of [0, 1.5, Number.NaN]) {
    expect(() => make(records, { batchSize })).toThrow(expect.objectContaining(USAGE));
  }
  const batches = make(records);
  for (const step of [-1, 0.5, Number.NaN]) await expect(batches.batch(step)).rejects.toMatchObject(USAGE);
  await batches.batch(0);
  await batches.close();
  await expect(batches.batch(1)).rejects.toThrow("closed");
});
