import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  createPreprocessing,
  type ImageBatch,
  type ImageRecord,
  iterateRecords,
  type StreamOptions,
  streamImages,
} from "../../../stage1-tokenizer/images/index.ts";
import { BAD_INPUT, pixelRecords, USAGE } from "./fixtures.ts";

const preprocessing = createPreprocessing([1, 1]);

async function collect(options: Omit<StreamOptions, "preprocessing">): Promise<ImageBatch[]> {
  const batches: ImageBatch[] = [];
  for await (const batch of streamImages({ preprocessing, ...options })) batches.push(batch);
  return batches;
}

test("every good image once, in order, in full batches but the last", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 20 }),
      fc.uniqueArray(fc.nat(59)),
      async (count, batchSize, bad) => {
        const good = Array.from({ length: count }, (_, i) => i).filter((i) => !bad.includes(i));
        fc.pre(good.length > 0);
        const failures: string[] = [];
        const records = iterateRecords(pixelRecords(count, new Set(bad)).records);
        const batches = await collect({ records, batchSize, onFailure: ({ key }) => failures.push(key) });
        expect(batches.flatMap(({ keys }) => keys)).toEqual(good.map((i) => `image-${i}`));
        expect(batches.flatMap(({ images }) => [...images])).toEqual(good.flatMap((i) => [i, 2 * i, 3 * i]));
        expect(batches.flatMap(({ labels }) => [...labels])).toEqual(good.map((i) => (i % 2 === 0 ? i % 3 : -1)));
        expect(batches.slice(0, -1).every(({ keys }) => keys.length === batchSize)).toBe(true);
        expect(failures).toEqual(
          bad
            .filter((i) => i < count)
            .sort((a, b) => a - b)
            .map((i) => `image-${i}`),
        );
      },
    ),
    { numRuns: 30 },
  );
});

test("an endless source is read only a bounded number of records ahead, and is closed when the caller leaves", async () => {
  let given = 0;
  let closed = false;
  async function* endless(): AsyncGenerator<ImageRecord> {
    try {
      for (;;) {
        await turn();
        const [record] = pixelRecords(1).records;
        if (record) yield record;
        given++;
      }
    } finally {
      closed = true;
    }
  }
  let taken = 0;
  for await (const batch of streamImages({ records: endless(), preprocessing, batchSize: 5 })) {
    taken += batch.keys.length;
    expect(given).toBeGreaterThanOrEqual(taken);
    expect(given - taken).toBeLessThanOrEqual(64);
    if (taken >= 200) break;
  }
  expect(closed).toBe(true);
});

test("the next images are decoded while the caller works on a batch", async () => {
  const { records, reads } = pixelRecords(100);
  const stream = streamImages({ records: iterateRecords(records), preprocessing, batchSize: 4 });
  await stream.next();
  expect(reads.size).toBeGreaterThanOrEqual(20);
  await stream.return();
});

test("no decodable image, no record, or a failure without a listener is bad input; so is a batch size of 0 a usage error", async () => {
  const broken = () => iterateRecords(pixelRecords(3, new Set([0, 1, 2])).records);
  await expect(collect({ records: broken(), batchSize: 2, onFailure: () => undefined })).rejects.toMatchObject(
    BAD_INPUT,
  );
  await expect(collect({ records: broken(), batchSize: 2 })).rejects.toThrow("image-0");
  await expect(collect({ records: iterateRecords([]), batchSize: 2 })).rejects.toMatchObject(BAD_INPUT);
  await expect(collect({ records: broken(), batchSize: 0 })).rejects.toMatchObject(USAGE);
});
