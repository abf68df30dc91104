/** A source that must not be held in memory: many records through split, order and batches, of which only a few may stay. */
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import {
  createBatches,
  createPreprocessing,
  type ImageRecord,
  type ImageSource,
  orderOf,
  splitSource,
} from "../../../stage1-tokenizer/images/index.ts";

const COUNT = 100_000;
const SHUFFLE_BUFFER = 1_000;
/** Of order.ts, by default. */
const WINDOW = 4_096;
const BATCH = 8;
/** Every 20th record is watched; the others are counted by those. */
const WATCHED = 20;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Records whose one pixel is their number; tells how many were read, and how many of those given are still there. */
function generated() {
  let given: WeakRef<ImageRecord>[] = [];
  const seen = { reads: 0, walks: 0 };
  async function* records(): AsyncGenerator<ImageRecord> {
    seen.walks++;
    for (let i = 0; i < COUNT; i++) {
      const key = String(i);
      const read = async () => {
        seen.reads++;
        return { pixels: Uint8Array.of(i, i >> 8, i >> 16), height: 1, width: 1, channels: 3 } as const;
      };
      const record: ImageRecord = { key, family: key, read };
      if (i % WATCHED === 0) given.push(new WeakRef(record));
      yield record;
    }
  }
  const alive = async (): Promise<number> => {
    await turn(); // a WeakRef's target lives until the turn it was made in has ended
    collectGarbage();
    given = given.filter((record) => record.deref() !== undefined);
    return given.length * WATCHED;
  };
  const source: ImageSource = { name: "generated", classes: [], records };
  return { source, seen, alive };
}

test("100,000 records: what stays is the shuffle buffer and the window, wherever batches are asked for", async () => {
  const { source, seen, alive } = generated();
  const { training, heldOut } = await splitSource(source, { heldOutFraction: 0.05, salt: "large" });
  expect(training.count + heldOut.count).toBe(COUNT);
  expect(await alive()).toBeLessThanOrEqual(WATCHED);
  const order = await orderOf(training, { rng: Rng.fromSeed(1), shuffleBuffer: SHUFFLE_BUFFER });
  const batches = createBatches({ order, preprocessing: createPreprocessing([1, 1]), batchSize: BATCH, cacheBytes: 0 });
  const epoch = Math.floor(training.count / BATCH);
  const numbers: number[] = [];
  let asked = 0;
  for (const [first, count] of [
    [0, 100],
    [epoch >> 1, 100],
    [epoch - 20, 40], // across the end of the epoch
  ] as const) {
    for (let step = first; step < first + count; step++, asked++) {
      const { images, keys } = await batches.batch(step);
      keys.forEach((key, i) => {
        const [r = 0, g = 0, b = 0] = images.subarray(3 * i, 3 * i + 3);
        expect(r + (g << 8) + (b << 16)).toBe(Number(key));
        if (step * BATCH + i < training.count) numbers.push(Number(key));
      });
    }
    const kept = await alive();
    expect(kept).toBeGreaterThan(SHUFFLE_BUFFER / 2);
    expect(kept).toBeLessThan(2 * (SHUFFLE_BUFFER + WINDOW));
  }
  expect(numbers.length).toBeGreaterThan(200 * BATCH);
  expect(new Set(numbers).size).toBe(numbers.length); // no record twice in an epoch
  expect(seen.reads).toBeLessThanOrEqual((asked + 3 * 2) * BATCH); // two batches ahead at each place
  expect(seen.walks).toBe(3); // the split, and one an epoch
  await batches.close();
  expect(await alive()).toBeLessThanOrEqual(WATCHED);
});
