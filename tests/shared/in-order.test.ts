import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { atLeast, inBatches, inOrder } from "../../shared/in-order.ts";

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** 0, 1, 2, … to `count`; tells how many were given and whether its consumer left it in order. */
function counted(count: number) {
  const state = { given: 0, closed: false };
  async function* items(): AsyncGenerator<number, void, undefined> {
    try {
      for (let i = 0; i < count; i++) {
        state.given++;
        yield i;
      }
    } finally {
      state.closed = true;
    }
  }
  return { state, items };
}

describe("work in order", () => {
  test("gives every result once and in the items' order, whichever is done first, with at most `ahead` under way", async () => {
    const milliseconds = fc.array(fc.nat(3), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(milliseconds, fc.integer({ min: 1, max: 5 }), async (waits, ahead) => {
        let [underWay, most] = [0, 0];
        const { items } = counted(waits.length);
        const work = async (i: number): Promise<number> => {
          most = Math.max(most, ++underWay);
          await delay(waits[i]);
          underWay--;
          return i;
        };
        expect(await collect(inOrder(items(), ahead, work))).toEqual(waits.map((_, i) => i));
        expect(most).toBe(Math.min(ahead, waits.length));
      }),
      { numRuns: 20 },
    );
  });

  test("takes no item before it is wanted, and closes the source when the consumer leaves", async () => {
    const { state, items } = counted(Infinity);
    for await (const i of inOrder(items(), 4, (item) => Promise.resolve(item))) {
      expect(state.given - i).toBeLessThanOrEqual(4);
      if (i === 50) break;
    }
    expect(state.closed).toBe(true);
  });

  test("an error comes out in its turn, after the results before it", async () => {
    const results: number[] = [];
    const work = (i: number): Promise<number> =>
      i === 3 ? Promise.reject(new Error("the third")) : delay(i === 2 ? 5 : 0, i);
    const reading = (async () => {
      for await (const i of inOrder(counted(10).items(), 5, work)) results.push(i);
    })();
    await expect(reading).rejects.toThrow("the third");
    expect(results).toEqual([0, 1, 2]);
  });
});

test("batches hold all items in order and are full but for the last", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(40), fc.integer({ min: 1, max: 9 }), async (count, size) => {
      const batches = await collect(inBatches(counted(count).items(), size));
      expect(batches.flat()).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(batches.slice(0, -1).every((batch) => batch.length === size)).toBe(true);
      expect(batches.every((batch) => batch.length > 0)).toBe(true);
    }),
  );
});

describe("at least so many", () => {
  test("is told from the first ones, which are still to come", async () => {
    for (const [count, many] of [
      [0, false],
      [6, false],
      [7, true],
      [20, true],
    ] as const) {
      // prettier-ignore
      const { state, items } = counted(count);
      const looked = await atLeast(items(), 7);
      expect([looked.many, state.given]).toEqual([many, Math.min(count, 7)]);
      expect(await collect(looked.items)).toEqual(Array.from({ length: count }, (_, i) => i));
    }
  });

  test("closes the source when the consumer leaves early", async () => {
    const { state, items } = counted(20);
    for await (const item of (await atLeast(items(), 7)).items) if (item === 3) break;
    expect(state).toEqual({ given: 7, closed: true });
  });
});
