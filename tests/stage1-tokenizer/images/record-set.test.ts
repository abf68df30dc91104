import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import {
  type ImageRecord,
  type ImageSource,
  iterateRecords,
  listOrder,
  listRecords,
  orderOf,
  recordSet,
  splitByFamily,
  splitSource,
  streamOrder,
  surveyRecords,
} from "../../../stage1-tokenizer/images/index.ts";
import { keysAt, range, testRecordOrder, unreadable } from "../../contracts/record-order.ts";
import { BAD_INPUT, USAGE } from "./fixtures.ts";

const source = (records: () => readonly ImageRecord[]): ImageSource => ({
  name: "made-up",
  classes: [],
  records: () => iterateRecords(records()),
});
const keysOf = async (set: Pick<ImageSource, "records">) => (await listRecords(set)).map(({ key }) => key);
const HALF = { heldOutFraction: 0.5 };

describe("a split source", () => {
  test("has the sides that its list would be divided into, again and again, with their counts and digests", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(9), { maxLength: 40 }),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        fc.constantFrom("one", "two"),
        async (families, heldOutFraction, salt) => {
          const records = unreadable(families.length).map((record, i) => ({ ...record, family: `${families[i]}` }));
          const sides = splitByFamily(records, { heldOutFraction, salt });
          const sets = await splitSource(
            source(() => records),
            { heldOutFraction, salt },
          );
          for (const side of ["training", "heldOut"] as const) {
            const { count, digest } = await surveyRecords(iterateRecords(sides[side]));
            expect(sets[side]).toMatchObject({ count, digest });
            for (let pass = 0; pass < 2; pass++) expect(await listRecords(sets[side])).toEqual(sides[side]);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test("closes the source when a side is left", async () => {
    let open = 0;
    const { training } = await splitSource(
      {
        name: "made-up",
        classes: [],
        async *records() {
          open++;
          try {
            yield* unreadable(20);
          } finally {
            open--;
          }
        },
      },
      HALF,
    );
    for await (const record of training.records()) {
      expect(open).toBe(1);
      expect(record.key).toContain("image-");
      break;
    }
    expect(open).toBe(0);
  });

  test.each([
    ["fewer", (records: ImageRecord[]) => records.slice(0, -5)],
    ["more", (records: ImageRecord[]) => [...records, ...unreadable(30).slice(20)]],
    ["reordered", (records: ImageRecord[]) => records.toReversed()],
    ["renamed", (records: ImageRecord[]) => records.map((record) => ({ ...record, key: `${record.key}.png` }))],
  ])("that gives %s records later is bad input at the end of a side", async (_what, change) => {
    let records = unreadable(20);
    const { training, heldOut } = await splitSource(
      source(() => records),
      HALF,
    );
    records = change(records);
    const changed = "changed while it was read";
    for (const set of [training, heldOut]) {
      await expect(keysOf(set)).rejects.toMatchObject(BAD_INPUT);
      if (records.length !== 20) await expect(keysOf(set)).rejects.toThrow(`(expected ${set.count} records, got `);
      await expect(orderOf(set, { rng: undefined, shuffleBuffer: 100 })).rejects.toThrow(changed);
      const order = await orderOf(set, { rng: undefined, shuffleBuffer: 1 });
      await expect(keysAt(order, range(set.count))).rejects.toThrow(changed);
      await order.close();
    }
  });

  test("with a key on both sides, or twice on one, is bad input", async () => {
    const families = range(20).map((i) => `family ${i}`);
    const [a, b] = [families[0] ?? "", families[1] ?? ""];
    const twice = (one: string, other: string) =>
      unreadable(2).map((record, i) => ({ ...record, key: "same", family: i === 0 ? one : other }));
    for (const records of [twice(a, a), ...families.map((family) => twice(b, family))]) {
      const split = splitSource(
        source(() => records),
        HALF,
      );
      await expect(split).rejects.toMatchObject(BAD_INPUT);
      await expect(split).rejects.toThrow('made-up: the key "same" occurs twice');
    }
  });

  test.each([-0.1, 1, Number.NaN])("at a fraction of %d is refused before the source is opened", async (fraction) => {
    const unopened = source(() => {
      throw new Error("It was opened.");
    });
    await expect(splitSource(unopened, { heldOutFraction: fraction })).rejects.toMatchObject(USAGE);
  });
});

describe("a set from a list", () => {
  test("is counted and digested as a stream of the same records", async () => {
    const records = unreadable(5);
    const set = recordSet(records);
    expect(set).toMatchObject(await surveyRecords(iterateRecords(records)));
    expect(await listRecords(set)).toEqual(records);
  });

  test("refuses a key that occurs twice", () => {
    expect(() => recordSet([...unreadable(2), ...unreadable(1)])).toThrow(expect.objectContaining(BAD_INPUT));
  });
});

describe("the order of a set", () => {
  const records = unreadable(12);
  const set = recordSet(records);
  const rng = Rng.fromSeed(2);
  const epochs = range(36);

  test.each([12, 13, 1000])("that fits a buffer of %d is the list's, and passes the source once", async (buffer) => {
    let passes = 0;
    const counted = { ...set, records: () => (passes++, set.records()) };
    const order = await orderOf(counted, { rng, shuffleBuffer: buffer });
    expect(await keysAt(order, epochs)).toEqual(await keysAt(listOrder(records, rng), epochs));
    expect(passes).toBe(1);
  });

  test.each([1, 5, 11])("that does not fit a buffer of %d is the stream's, begun when asked", async (bufferSize) => {
    let passes = 0;
    const counted = { ...set, records: () => (passes++, set.records()) };
    const order = await orderOf(counted, { rng, shuffleBuffer: bufferSize });
    expect(passes).toBe(0);
    const expected = streamOrder({ records: () => set.records(), count: 12, bufferSize, rng });
    expect(await keysAt(order, epochs)).toEqual(await keysAt(expected, epochs));
    expect(passes).toBe(3);
  });

  test.each([0, 2.5, Number.NaN])("a buffer of %d is refused", async (shuffleBuffer) => {
    await expect(orderOf(set, { rng, shuffleBuffer })).rejects.toMatchObject(USAGE);
  });
});

testRecordOrder({
  name: "one side of a split source, streamed",
  create: (records, rng) => {
    const order = splitSource(
      source(() => records),
      { heldOutFraction: 0 },
    ).then(({ training }) => orderOf(training, { rng, shuffleBuffer: 4 }));
    return {
      count: records.length,
      at: async (position) => (await order).at(position),
      close: async () => (await order).close(),
    };
  },
});
