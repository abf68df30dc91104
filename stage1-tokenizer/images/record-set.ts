/**
 * What training is given: records that can be gone through again and again, whether or not they fit into memory, and who they are.
 * Knows no pixels; chooses the order that suits the size.
 */
import type { Rng } from "../../shared/rng.ts";
import { checkShuffleBuffer, listOrder, type RecordOrder, sourceChanged, streamOrder } from "./order.ts";
import { type ImageRecord, type ImageSource, iterateRecords, listRecords } from "./source.ts";
import { checkFraction, isHeldOut, type SplitOptions } from "./split.ts";
import { createTally, createUniqueKeys, type RecordSurvey } from "./survey.ts";

/** A source, or one side of a split of it, not necessarily in memory. Every key is there once. */
export interface RecordSet extends RecordSurvey {
  /** The records that were counted, in the source's order; each call starts anew. @throws bad-input at their end if they are others. */
  records(): AsyncIterable<ImageRecord>;
}

/** From a list. @throws bad-input if a key occurs twice. */
export function recordSet(records: readonly ImageRecord[]): RecordSet {
  const tally = createTally();
  const unique = createUniqueKeys("list of images");
  for (const { key } of records) {
    unique.add(key);
    tally.add(key);
  }
  return { ...tally.survey(), records: () => iterateRecords(records) };
}

/**
 * Divides a source by family in one pass over its keys, without a list; an empty side is a set of 0 records.
 * @throws bad-input if a key occurs twice, be it on different sides; usage error unless 0 ≤ heldOutFraction < 1.
 */
export async function splitSource(
  source: ImageSource,
  options: SplitOptions,
): Promise<{ readonly training: RecordSet; readonly heldOut: RecordSet }> {
  checkFraction(options.heldOutFraction);
  const [training, heldOut] = [createTally(), createTally()];
  const unique = createUniqueKeys(source.name);
  for await (const { key, family } of source.records()) {
    unique.add(key);
    (isHeldOut(family, options) ? heldOut : training).add(key);
  }
  const side = (survey: RecordSurvey, held: boolean): RecordSet => ({
    ...survey,
    records: () => sameRecords(source, survey, (record) => isHeldOut(record.family, options) === held),
  });
  return { training: side(training.survey(), false), heldOut: side(heldOut.survey(), true) };
}

async function* sameRecords(
  source: ImageSource,
  { count, digest }: RecordSurvey,
  belongs: (record: ImageRecord) => boolean,
): AsyncGenerator<ImageRecord, void, undefined> {
  const tally = createTally();
  for await (const record of source.records()) {
    if (!belongs(record)) continue;
    tally.add(record.key);
    yield record;
  }
  const again = tally.survey();
  if (again.count !== count) throw sourceChanged({ expected: `${count} records`, got: String(again.count) });
  if (again.digest !== digest) throw sourceChanged({ expected: "the same keys in the same order", got: "others" });
}

/** Records that can be gone through again and again. */
export type Records = Pick<RecordSet, "count" | "records">;

/** At most `count` of them, spread evenly: sources are ordered by class, and the first records would be images of one. */
export function takeEvenly(all: Records, count: number): Records {
  if (count >= all.count) return all;
  const taken = (before: number): number => Math.floor((before * count) / all.count);
  async function* records(): AsyncGenerator<ImageRecord> {
    let position = 0;
    for await (const record of all.records()) {
      position++;
      if (taken(position) > taken(position - 1)) yield record;
    }
  }
  return { count, records };
}

/** Records that training keeps in memory to draw the next one from, unless told: some ten megabytes. */
export const SHUFFLE_BUFFER = 65_536;

export interface OrderOptions {
  /** Undefined keeps the set's order. */
  readonly rng: Rng | undefined;
  /** Records kept in memory to draw the next one from; a set of at most this many is listed and permuted as a whole. */
  readonly shuffleBuffer: number;
}

/** @throws usage error if `shuffleBuffer` is no positive integer; bad-input if the source changed since it was counted. */
export async function orderOf(set: RecordSet, { rng, shuffleBuffer }: OrderOptions): Promise<RecordOrder> {
  checkShuffleBuffer(shuffleBuffer);
  if (set.count <= shuffleBuffer) return listOrder(await listRecords(set), rng);
  return streamOrder({ records: () => set.records(), count: set.count, bufferSize: shuffleBuffer, rng });
}
