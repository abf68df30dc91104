import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import {
  type Batches,
  type BatchesOptions,
  createBatches,
  createPreprocessing,
  type ImageFailure,
  type ImageRecord,
  iterateRecords,
  listOrder,
  type RecordOrder,
  streamOrder,
} from "../../../stage1-tokenizer/images/index.ts";
import { BAD_INPUT, pixelRecords, USAGE } from "./fixtures.ts";

const preprocessing = createPreprocessing([1, 1]);

const make = (order: RecordOrder, changes: Partial<BatchesOptions> = {}): Batches =>
  createBatches({ order, preprocessing, batchSize: 4, ...changes });
const inOrder = (records: readonly ImageRecord[]): RecordOrder => listOrder(records, undefined);
const permuted = (records: readonly ImageRecord[]): RecordOrder => listOrder(records, Rng.fromSeed(7));
/** A buffer and a window that hold a few records only. */
const streamed = (records: readonly ImageRecord[]): RecordOrder =>
  streamOrder({
    records: () => iterateRecords(records),
    count: records.length,
    bufferSize: 5,
    window: 9,
    rng: Rng.fromSeed(7),
  });
const ORDERS = { list: permuted, stream: streamed };

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
        const batches = make(listOrder(records, rng), { batchSize });
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
  const batches = make(inOrder(pixelRecords(3).records));
  expect((await batches.batch(1)).keys).toEqual(["image-1", "image-2", "image-0", "image-1"]);
  expect(batches.count).toBe(3);
});

test("the caller may write into a batch: asked for again it is whole, from the cache or not", async () => {
  for (const cacheBytes of [0, 1 << 20]) {
    const batches = make(permuted(pixelRecords(5).records), { cacheBytes });
    const first = await batches.batch(2);
    const expected = first.images.slice();
    first.images.fill(99);
    expect((await batches.batch(2)).images).toEqual(expected);
    await batches.close();
  }
});

test("the next two batches are read ahead, and no more", async () => {
  const { records, reads } = pixelRecords(100);
  const batches = make(inOrder(records), { batchSize: 10 });
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
  const batches = make(permuted(records), { batchSize: 6, cacheBytes });
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
  test("are replaced by the next good one of the row and reported once, whatever was asked before", async () => {
    const broken = new Set(["image-1", "image-2", "image-5"]);
    const { records } = pixelRecords(8, new Set([1, 2, 5]));
    for (const order of Object.values(ORDERS)) {
      const expected: string[] = [];
      for (let i = 0; i < 8; i++) {
        let k = 8 + i;
        while (broken.has((await order(records).at(k)).key)) k++; // past 15 it is the next epoch's
        expected.push((await order(records).at(k)).key);
      }
      for (const asked of [[1], [3, 2, 0, 1], [1, 1]]) {
        const failures: ImageFailure[] = [];
        const batches = make(order(records), { batchSize: 8, onFailure: (failure) => failures.push(failure) });
        let keys: readonly string[] = [];
        for (const step of asked) ({ keys } = await batches.batch(step));
        expect(keys).toEqual(expected);
        await batches.close();
        expect(failures.map(({ key }) => key).sort()).toEqual([...broken]);
        expect(failures.every(({ error }) => error.message.includes("image-"))).toBe(true);
      }
    }
  });

  test("but one are many of the one, also when it is a long way off", async () => {
    const { records } = pixelRecords(12, new Set(Array.from({ length: 11 }, (_, i) => i)));
    for (const order of Object.values(ORDERS)) {
      const batches = make(order(records), { onFailure: () => undefined });
      for (const step of [0, 2, 9]) {
        expect((await batches.batch(step)).keys).toEqual(Array.from({ length: 4 }, () => "image-11"));
      }
      await batches.close();
    }
  });

  test("none left is bad input, each reported once", async () => {
    const failures: string[] = [];
    const { records } = pixelRecords(3, new Set([0, 1, 2]));
    const batches = make(permuted(records), { onFailure: ({ key }) => failures.push(key) });
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
      const batches = make(inOrder(records));
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

/** The records, each read after a few turns of the event loop. */
function delayed(records: readonly ImageRecord[], rng: Rng): ImageRecord[] {
  return records.map((record) => ({
    ...record,
    read: async () => {
      for (let left = rng.integer(12); left > 0; left--) await turn();
      return record.read();
    },
  }));
}

async function batchesOf(batches: Batches, steps: readonly number[]) {
  const made = [];
  for (const step of steps) made.push(await batches.batch(step));
  await batches.close();
  return made;
}

describe.each(Object.entries(ORDERS))("batches over a %s", (_name, order) => {
  const { records } = pixelRecords(23, new Set([3, 4, 11, 22]));
  const changes = { batchSize: 5, cacheBytes: 3 * 6, onFailure: () => undefined };
  const steps = Array.from({ length: 24 }, (_, step) => step);

  test("are the same for any number of workers, whoever reads first", async () => {
    const expected = await batchesOf(make(order(records), changes), steps);
    for (const workers of [1, 2, 64]) {
      const slow = order(delayed(records, Rng.fromSeed(workers)));
      expect(await batchesOf(make(slow, { ...changes, workers }), steps)).toEqual(expected);
    }
  });

  test("go on at ten random steps as if they had never stopped", async () => {
    const expected = await batchesOf(make(order(records), changes), steps);
    const rng = Rng.fromSeed(3);
    for (let stop = 0; stop < 10; stop++) {
      const rest = steps.slice(rng.integer(steps.length));
      expect(await batchesOf(make(order(records), changes), rest)).toEqual(expected.slice(rest[0]));
    }
  });

  test("asked for all at once, or backwards, are the same", async () => {
    const expected = await batchesOf(make(order(records), changes), steps);
    const atOnce = make(order(records), changes);
    expect(await Promise.all(steps.map((step) => atOnce.batch(step)))).toEqual(expected);
    await atOnce.close();
    const backwards = await batchesOf(make(order(records), changes), steps.toReversed());
    expect(backwards.toReversed()).toEqual(expected);
  });

  test("that are resumed read the images of their own steps only", async () => {
    const { records: good, reads } = pixelRecords(20);
    const batches = make(order(good), { batchSize: 5, cacheBytes: 0 });
    await batches.batch(9); // half way through the third epoch; 10 and 11 are made ahead
    await batches.close();
    expect([...reads.values()].reduce((sum, count) => sum + count, 0)).toBe(15);
  });
});

test.each([1, 3])("%d workers read that many images at once", async (workers) => {
  let [reading, most] = [0, 0];
  const { records } = pixelRecords(30);
  const counted = records.map((record) => ({
    ...record,
    read: async () => {
      most = Math.max(most, ++reading);
      await turn();
      reading--;
      return record.read();
    },
  }));
  await batchesOf(make(permuted(counted), { workers, batchSize: 10 }), [0, 1]);
  expect(most).toBe(workers);
});

test("a source that changed is bad input, for batches made ahead where they are asked for", async () => {
  let pass = 0;
  const { records } = pixelRecords(8);
  const order = streamOrder({
    records: () => iterateRecords(pass++ === 0 ? records : records.slice(1)),
    count: 8,
    bufferSize: 8,
    rng: Rng.fromSeed(1),
  });
  const batches = make(order);
  await batches.batch(0); // and 1, and 2 of the next epoch
  for (let i = 0; i < 50; i++) await turn();
  await batches.batch(1);
  await expect(batches.batch(2)).rejects.toMatchObject(BAD_INPUT);
  await batches.close();
});

test("closing closes the order", async () => {
  const order = permuted(pixelRecords(3).records);
  const batches = make(order);
  await batches.batch(0);
  await batches.close();
  await expect(order.at(0)).rejects.toThrow("closed");
  await expect(batches.batch(1)).rejects.toThrow("closed");
});

test("no records, and a batch size, number of workers or step out of range are refused", async () => {
  const order = permuted(pixelRecords(3).records);
  expect(() => make(permuted([]))).toThrow(expect.objectContaining(BAD_INPUT));
  for (const wrong of [0, 1.5, Number.NaN]) {
    expect(() => make(order, { batchSize: wrong })).toThrow(expect.objectContaining(USAGE));
    expect(() => make(order, { workers: wrong })).toThrow(expect.objectContaining(USAGE));
  }
  const batches = make(order);
  for (const step of [-1, 0.5, Number.NaN]) await expect(batches.batch(step)).rejects.toMatchObject(USAGE);
  await batches.close();
});
