import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import {
  type ImageRecord,
  iterateRecords,
  listOrder,
  streamOrder,
  type StreamOrderOptions,
} from "../../../stage1-tokenizer/images/index.ts";
import { keysAt, range, testRecordOrder, unreadable } from "../../contracts/record-order.ts";
import { BAD_INPUT, USAGE } from "./fixtures.ts";

testRecordOrder({ name: "list", create: listOrder });
for (const [bufferSize, window] of [
  [3, 0],
  [3, 5],
  [7, 4096],
  [30, 2],
  [1000, 1],
] as const) {
  testRecordOrder({
    name: `stream, buffer of ${bufferSize}, window of ${window}`,
    create: (records, rng) =>
      streamOrder({ records: () => iterateRecords(records), count: records.length, bufferSize, window, rng }),
  });
}

/** A stream of `given` records that tells how many times it was begun, ended or left, and how many records it gave. */
function watched(given: number | ((pass: number) => number)) {
  const seen = { begun: 0, ended: 0, open: 0, most: 0, records: 0 };
  async function* records(): AsyncGenerator<ImageRecord> {
    const length = typeof given === "number" ? given : given(seen.begun);
    seen.begun++;
    seen.open++;
    seen.most = Math.max(seen.most, seen.open);
    try {
      for (const record of unreadable(length)) {
        seen.records++;
        await turn();
        yield record;
      }
      seen.ended++;
    } finally {
      seen.open--;
    }
  }
  return { seen, records };
}

const stream = (records: () => AsyncIterable<ImageRecord>, count: number, changes: Partial<StreamOrderOptions> = {}) =>
  streamOrder({ records, count, bufferSize: 4, rng: Rng.fromSeed(1), ...changes });

/** The buffer as it is described, over numbers. */
function shuffled(count: number, bufferSize: number, rng: Rng): number[] {
  const waiting = range(count);
  const buffer = waiting.splice(0, bufferSize);
  const given: number[] = [];
  while (buffer.length > 0) {
    const slot = rng.integer(buffer.length);
    given.push(buffer[slot] ?? -1);
    const next = waiting.shift() ?? buffer.pop() ?? -1;
    if (slot < buffer.length) buffer[slot] = next;
  }
  return given;
}

describe("a shuffle buffer", () => {
  test("gives a uniform slot and refills it from the stream, then from the last slot", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 45 }),
        fc.nat(3),
        fc.nat(),
        async (count, bufferSize, epoch, seed) => {
          const rng = Rng.fromSeed(seed);
          const order = streamOrder({ records: () => iterateRecords(unreadable(count)), count, bufferSize, rng });
          const keys = await keysAt(
            order,
            range(count).map((i) => epoch * count + i),
          );
          const expected = shuffled(count, bufferSize, rng.fork("shuffle", epoch));
          expect(keys).toEqual(expected.map((i) => `image-${i}`));
        },
      ),
      { numRuns: 40 },
    );
  });

  test("no record comes before the buffer could have reached it", async () => {
    const keys = await keysAt(
      stream(() => iterateRecords(unreadable(200)), 200, { bufferSize: 10 }),
      range(200),
    );
    keys.forEach((key, i) => expect(Number(key.slice("image-".length))).toBeLessThan(i + 10));
  });

  test("that holds the whole source draws every permutation equally often", async () => {
    const times = new Map<string, number>();
    const order = stream(() => iterateRecords(unreadable(3)), 3, { bufferSize: 3 });
    const epochs = 3000;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const keys = (await keysAt(order, [3 * epoch, 3 * epoch + 1, 3 * epoch + 2])).join();
      times.set(keys, (times.get(keys) ?? 0) + 1);
    }
    expect(times.size).toBe(6);
    const chiSquared = [...times.values()].reduce((sum, n) => sum + (n - epochs / 6) ** 2 / (epochs / 6), 0);
    expect(chiSquared).toBeLessThan(20.5); // 5 degrees of freedom, 0.1 %
  });
});

describe("a stream's passes", () => {
  test("ascending positions, and steps back inside the window, take one pass an epoch", async () => {
    const { records, seen } = watched(10);
    const order = stream(records, 10, { window: 6 });
    await keysAt(order, range(20));
    expect(seen).toMatchObject({ begun: 2, records: 20 });
    await keysAt(order, [14, 19, 17]);
    expect(seen.begun).toBe(2);
    await keysAt(order, [13]);
    expect(seen.begun).toBe(3);
    await order.close();
  });

  test("one is open at a time, and one that is left is closed", async () => {
    const { records, seen } = watched(20);
    const order = stream(records, 20, { window: 0 });
    await Promise.all([3, 47, 3, 1, 90].map((position) => order.at(position)));
    expect(seen).toMatchObject({ begun: 5, ended: 0, most: 1, open: 1 });
    await order.close();
    expect(seen.open).toBe(0);
  });

  test("closing gives up a position that is far away", async () => {
    const { records, seen } = watched(100_000);
    const order = stream(records, 100_000);
    const far = expect(order.at(99_000)).rejects.toMatchObject({ code: "failure" });
    for (let i = 0; i < 20; i++) await turn();
    await order.close();
    await far;
    expect(seen.open).toBe(0);
    expect(seen.records).toBeLessThan(1000);
  });

  test.each([1, 4, 9, 100])(
    "fewer or more records in a later epoch are bad input, buffer of %d",
    async (bufferSize) => {
      for (const later of [8, 10]) {
        const { records, seen } = watched((pass) => (pass === 0 ? 9 : later));
        const order = stream(records, 9, { bufferSize, window: 0 });
        await keysAt(order, range(9));
        const error = keysAt(
          order,
          range(9).map((i) => 9 + i),
        );
        await expect(error).rejects.toMatchObject(BAD_INPUT);
        await expect(error).rejects.toThrow("changed while it was read");
        expect(seen.open).toBe(0);
        await expect(order.at(17)).rejects.toMatchObject(BAD_INPUT);
        await order.close();
      }
    },
  );

  test("an error of the source is the order's, and the next call begins anew", async () => {
    let passes = 0;
    async function* records(): AsyncGenerator<ImageRecord> {
      passes++;
      for (const record of unreadable(6)) {
        await turn();
        if (passes === 1 && record.key === "image-5") throw new Error("the disk went away");
        yield record;
      }
    }
    const order = stream(records, 6, { bufferSize: 2 });
    await expect(keysAt(order, range(6))).rejects.toThrow("the disk went away");
    expect((await keysAt(order, range(6))).toSorted()).toEqual(unreadable(6).map(({ key }) => key));
    await order.close();
  });

  test("memory holds the buffer and the window, not the source", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const [count, bufferSize, window] = [2000, 40, 25];
    let given: WeakRef<ImageRecord>[] = [];
    async function* records(): AsyncGenerator<ImageRecord> {
      for (let i = 0; i < count; i++) {
        const record = { key: `image-${i}`, family: "one", read: () => Promise.reject(new Error("not to be read")) };
        given.push(new WeakRef(record));
        yield record;
      }
    }
    const order = stream(records, count, { bufferSize, window });
    for (const position of [500, 1500, 1999, 2100, 3999, 100]) {
      await order.at(position);
      await turn(); // a WeakRef's target lives until the turn it was made in has ended
      collectGarbage();
      const alive = given.filter((record) => record.deref() !== undefined);
      expect(alive.length).toBeLessThanOrEqual(bufferSize + window + 1); // one more on its way out of the source
      expect(alive.length).toBeGreaterThanOrEqual(window);
      given = alive;
    }
    await order.close();
    await turn();
    collectGarbage();
    expect(given.filter((record) => record.deref() !== undefined).length).toBeLessThanOrEqual(1);
  });
});

test.each([0, -1, 1.5, Number.NaN])("a buffer of %d is refused", (bufferSize) => {
  expect(() => stream(() => iterateRecords([]), 1, { bufferSize })).toThrow(expect.objectContaining(USAGE));
});
