import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import {
  createEmojiSource,
  type ImageRecord,
  isHeldOut,
  listRecords,
  splitByFamily,
} from "../../../../stage1-tokenizer/images/index.ts";
import { emojiFamily } from "../../../../stage1-tokenizer/images/sources/emoji-families.ts";
import { testImageSource } from "../../../contracts/image-source.ts";

testImageSource({ name: "emoji", count: 3720, create: () => Promise.resolve(createEmojiSource()) });

describe("emoji", () => {
  const source = createEmojiSource();
  let records: ImageRecord[];
  beforeAll(async () => {
    records = await listRecords(source);
  });
  const classOf = (key: string) => source.classes[records.find((record) => record.key === key)?.label ?? -1];

  test("classes are the nine Unicode groups, and every emoji has one", () => {
    expect(source.classes).toHaveLength(9);
    expect(records.every((record) => record.label !== undefined)).toBe(true);
  });

  test.each([
    ["1f600", "Smileys & Emotion"],
    ["1f44d-1f3fd", "People & Body"],
    ["2764-fe0f-200d-1f525", "Smileys & Emotion"],
    ["1f1eb-1f1f7", "Flags"],
    ["1f1eb", "Flags"],
    ["1f3fb", "Symbols"],
    ["1f468-1f3fb-200d-1f91d-200d-1f468-1f3fc", "People & Body"],
    ["1f98a", "Animals & Nature"],
    ["23-20e3", "Symbols"],
  ])("%s is in %s", (key, group) => expect(classOf(key)).toBe(group));

  test.each([
    ["skin", "1f44d-1f3fb", "1f44d-1f3ff"],
    ["gender", "1f468-200d-1f33e", "1f469-1f3fd-200d-1f33e"],
    ["gender sign", "1f3c3-200d-2640-fe0f", "1f3c3-1f3fb-200d-2642-fe0f"],
    ["hair", "1f468-200d-1f9b0", "1f469-200d-1f9b3"],
    ["couple", "1f46b-1f3fb", "1f469-1f3fb-200d-1f91d-200d-1f468-1f3fc"],
    ["kiss", "1f48f", "1f468-200d-2764-fe0f-200d-1f48b-200d-1f468"],
    ["parents and children", "1f46a", "1f468-200d-1f469-200d-1f467-200d-1f466"],
    ["dial", "1f550", "1f567"],
    ["moon", "1f311", "1f318"],
    ["swatches", "1f3fb", "1f3ff"],
    ["one flag under two names", "1f1fa-1f1f8", "1f1fa-1f1f2"],
  ])("one family by %s", (_, a, b) => expect(emojiFamily(a)).toBe(emojiFamily(b)));

  test.each([
    ["flags", "1f1eb-1f1f7", "1f1e9-1f1ea"],
    ["professions", "1f468-200d-1f33e", "1f468-200d-1f52c"],
    ["keycaps", "31-20e3", "32-20e3"],
    ["a person and a farmer", "1f468", "1f468-200d-1f33e"],
    ["arrows", "2b06", "2b07"],
  ])("families of their own: %s", (_, a, b) => expect(emojiFamily(a)).not.toBe(emojiFamily(b)));

  test("identical drawings are one family", async () => {
    const families = new Map<string, Set<string>>();
    for (const record of records) {
      const content = await record.read();
      if (!(content instanceof Uint8Array)) throw new Error("expected a file");
      const digest = createHash("sha256").update(content).digest("hex");
      families.set(digest, (families.get(digest) ?? new Set()).add(record.family));
    }
    expect([...families.values()].filter((names) => names.size > 1)).toEqual([]);
  });

  test("a split at 0.05 holds out 3–7 % in whole families, of every class", () => {
    const { training, heldOut } = splitByFamily(records, { heldOutFraction: 0.05 });
    expect(training.length + heldOut.length).toBe(3720);
    expect(heldOut.length / 3720).toBeGreaterThan(0.03);
    expect(heldOut.length / 3720).toBeLessThan(0.07);
    const trained = new Set(training.map((record) => record.family));
    expect(heldOut.filter((record) => trained.has(record.family))).toEqual([]);
    expect(new Set(heldOut.map((record) => record.label)).size).toBe(9);
    expect(heldOut.every((record) => isHeldOut(record.family, { heldOutFraction: 0.05 }))).toBe(true);
  });
});
