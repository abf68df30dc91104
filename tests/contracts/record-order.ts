/**
 * The contract of `RecordOrder`: every order's test file calls `testRecordOrder`. Knows no particular order.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import type { ImageRecord, RecordOrder } from "../../stage1-tokenizer/images/index.ts";

export interface RecordOrderCase {
  readonly name: string;
  readonly create: (records: readonly ImageRecord[], rng: Rng | undefined) => RecordOrder;
}

/** Records that must not be read. */
export const unreadable = (count: number): ImageRecord[] =>
  Array.from({ length: count }, (_, i) => ({
    key: `image-${i}`,
    family: `image-${i}`,
    read: () => Promise.reject(new Error("An order reads nothing.")),
  }));

export const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** Keys at `positions`, asked one after the other. */
export async function keysAt(order: RecordOrder, positions: readonly number[]): Promise<string[]> {
  const keys: string[] = [];
  for (const position of positions) keys.push((await order.at(position)).key);
  return keys;
}

const count = fc.integer({ min: 1, max: 30 });

export function testRecordOrder({ name, create }: RecordOrderCase): void {
  describe(`record order contract: ${name}`, () => {
    test("every epoch holds every record once, and says how many they are", async () => {
      await fc.assert(
        fc.asyncProperty(count, fc.nat(4), fc.nat(), async (n, epoch, seed) => {
          const records = unreadable(n);
          const order = create(records, Rng.fromSeed(seed));
          expect(order.count).toBe(n);
          const keys = await keysAt(
            order,
            range(n).map((i) => epoch * n + i),
          );
          expect(keys.toSorted()).toEqual(records.map(({ key }) => key).toSorted());
          await order.close();
        }),
        { numRuns: 30 },
      );
    });

    test("a position's record depends on nothing asked before or at the same time: resuming is going there", async () => {
      await fc.assert(
        fc.asyncProperty(count, fc.array(fc.nat(120), { maxLength: 10 }), fc.nat(), async (n, positions, seed) => {
          const records = unreadable(n);
          const start = (): RecordOrder => create(records, Rng.fromSeed(seed));
          const whole = await keysAt(start(), range(121));
          const expected = positions.map((position) => whole[position]);
          expect(await keysAt(start(), positions)).toEqual(expected);
          const atOnce = start();
          const given = await Promise.all(positions.map((position) => atOnce.at(position)));
          expect(given.map(({ key }) => key)).toEqual(expected);
          for (const [i, position] of positions.entries())
            expect(await keysAt(start(), [position])).toEqual([expected[i]]);
        }),
        { numRuns: 30 },
      );
    });

    test("epochs and seeds differ; the generator stays where it was", async () => {
      const records = unreadable(30);
      const [used, fresh] = [Rng.fromSeed(1), Rng.fromSeed(1)];
      const order = create(records, used);
      const epoch = range(30);
      const first = await keysAt(order, epoch);
      const second = epoch.map((i) => 30 + i);
      expect(first).not.toEqual(records.map(({ key }) => key));
      expect(await keysAt(order, second)).not.toEqual(first);
      expect(await keysAt(create(records, Rng.fromSeed(2)), epoch)).not.toEqual(first);
      expect(used.uint32()).toBe(fresh.uint32());
    });

    test("without a generator every epoch keeps the records' order", async () => {
      const order = create(unreadable(3), undefined);
      expect(await keysAt(order, range(7))).toEqual([0, 1, 2, 0, 1, 2, 0].map((i) => `image-${i}`));
    });

    test("refuses what is no position, any position of no records, and everything once closed", async () => {
      const order = create(unreadable(3), Rng.fromSeed(1));
      for (const position of [-1, 0.5, Number.NaN, Infinity]) {
        await expect(order.at(position)).rejects.toMatchObject({ code: "usage" });
      }
      await expect(create([], Rng.fromSeed(1)).at(0)).rejects.toMatchObject({ code: "usage" });
      await order.at(1);
      await order.close();
      await order.close();
      for (const position of [1, 2]) await expect(order.at(position)).rejects.toMatchObject({ code: "failure" });
    });
  });
}
