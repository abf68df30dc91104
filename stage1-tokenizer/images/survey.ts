/**
 * One pass over the keys of a source: how many there are, and a digest that says which. Knows no content; remembers 16 to 32 bytes
 * a key, to refuse one that occurs twice.
 */
import { createHash } from "node:crypto";
import { badInput } from "../../shared/errors.ts";
import { KeySet } from "../../shared/key-set.ts";
import type { ImageRecord } from "./source.ts";

export interface RecordSurvey {
  readonly count: number;
  /** sha256 (hex) over "\0" and the key of each record, in order: equal for equal lists of keys only. */
  readonly digest: string;
}

/** @param where names the source in errors. @throws bad-input at the first key that occurs twice. */
export async function surveyRecords(records: AsyncIterable<ImageRecord>, where = "images"): Promise<RecordSurvey> {
  const tally = createTally();
  const unique = createUniqueKeys(where);
  for await (const { key } of records) {
    unique.add(key);
    tally.add(key);
  }
  return tally.survey();
}

/** Keys one by one; `survey` may be asked at any time. */
export interface KeyTally {
  add(key: string): void;
  survey(): RecordSurvey;
}

export function createTally(): KeyTally {
  const hash = createHash("sha256");
  let count = 0;
  return {
    add: (key) => {
      hash.update(`\0${key}`);
      count++;
    },
    survey: () => ({ count, digest: hash.copy().digest("hex") }),
  };
}

/** `add` throws bad-input for a key it has seen. @param where names the source in errors. */
export function createUniqueKeys(where: string): { add(key: string): void } {
  const keys = new KeySet();
  return {
    add: (key) => {
      if (keys.add(key)) return;
      throw badInput({
        what: `the key "${key}" occurs twice`,
        where,
        expected: "a key of its own for every image",
        todo: "Rename one of the two images.",
      });
    },
  };
}
