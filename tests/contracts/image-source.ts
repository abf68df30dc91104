/**
 * The contract of `ImageSource`: every source's test file calls `testImageSource`. Knows no particular source.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createPreprocessing,
  decodeImage,
  type ImageRecord,
  type ImageSource,
  listRecords,
} from "../../stage1-tokenizer/images/index.ts";

export interface ImageSourceCase {
  readonly name: string;
  /** Called twice: two sources over the same data. */
  readonly create: () => Promise<ImageSource>;
  /** Number of records the data holds. */
  readonly count: number;
}

export function testImageSource({ name, create, count }: ImageSourceCase): void {
  describe(`${name} is an image source`, () => {
    let source: ImageSource;
    let records: ImageRecord[];
    beforeAll(async () => {
      source = await create();
      records = await listRecords(source);
    });
    afterAll(() => (records = []));

    test("gives every record once, under a key of its own", () => {
      expect(records).toHaveLength(count);
      expect(new Set(records.map((record) => record.key)).size).toBe(count);
    });

    test("gives the same records in the same order each time, and from a second source over the same data", async () => {
      const summary = (list: readonly ImageRecord[]) => list.map(({ key, label, family }) => ({ key, label, family }));
      expect(summary(await listRecords(source))).toEqual(summary(records));
      expect(summary(await listRecords(await create()))).toEqual(summary(records));
    });

    test("labels are indices of distinct, named classes, and every class is used", () => {
      expect(new Set(source.classes).size).toBe(source.classes.length);
      expect(source.classes.every((className) => className.length > 0)).toBe(true);
      const used = new Set(records.flatMap(({ label }) => (label === undefined ? [] : [label])));
      expect([...used].sort((a, b) => a - b)).toEqual(source.classes.map((_, label) => label));
    });

    test("names itself, its records and their families", () => {
      expect(source.name).not.toBe("");
      expect(records.every(({ key, family }) => key !== "" && family !== "")).toBe(true);
    });

    test("an iteration may be abandoned and two may run at once", async () => {
      for await (const record of source.records()) {
        expect(record.key).toBe(records[0]?.key);
        break;
      }
      const [a, b] = await Promise.all([listRecords(source), listRecords(source)]);
      expect(a.map(({ key }) => key)).toEqual(b.map(({ key }) => key));
    });

    test("reads the same content again, also at once with others, and it decodes", async () => {
      const sample = records.filter((_, i) => i % Math.ceil(count / 8) === 0);
      const preprocessing = createPreprocessing([8, 8]);
      const first = await Promise.all(sample.map((record) => record.read()));
      for (const [i, record] of sample.entries()) {
        const content = await record.read();
        expect(content).toEqual(first[i]);
        expect(await decodeImage(content, preprocessing, record.key)).toHaveLength(8 * 8 * 3);
      }
    });
  });
}
