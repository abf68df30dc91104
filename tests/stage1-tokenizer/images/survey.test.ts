import fc from "fast-check";
import { expect, test } from "vitest";
import { sha256Hex } from "../../../shared/fingerprint.ts";
import { type ImageRecord, iterateRecords, surveyRecords } from "../../../stage1-tokenizer/images/index.ts";
import { BAD_INPUT } from "./fixtures.ts";

const named = (keys: readonly string[]): ImageRecord[] =>
  keys.map((key) => ({ key, family: "one", read: () => Promise.reject(new Error("A survey reads nothing.")) }));
const survey = (keys: readonly string[]) => surveyRecords(iterateRecords(named(keys)));

test("counts the records and digests their keys, a zero byte before each, without reading one", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.string()), async (keys) => {
      const digest = sha256Hex(...keys.map((key) => `\0${key}`));
      expect(await survey(keys)).toEqual({ count: keys.length, digest });
    }),
    { numRuns: 50 },
  );
});

test("another order, and keys cut elsewhere, have another digest", async () => {
  const digests = await Promise.all([["a", "b"], ["b", "a"], ["ab"], ["a"], []].map(survey));
  expect(new Set(digests.map(({ digest }) => digest)).size).toBe(5);
});

test("a key that occurs twice is bad input that names key and source", async () => {
  const records = iterateRecords(named(["a", "cat/1.png", "b", "cat/1.png"]));
  const error = surveyRecords(records, "folder pets");
  await expect(error).rejects.toMatchObject(BAD_INPUT);
  await expect(error).rejects.toThrow('folder pets: the key "cat/1.png" occurs twice');
});
