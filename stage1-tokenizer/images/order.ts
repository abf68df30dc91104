/**
 * Which record stands at which position of the endless row of epochs, for lists in memory and for streams that do not fit. Knows
 * keys and order only: no record is read here.
 */
import { badInput, failure, invariant, type TesseraError, usageError } from "../../shared/errors.ts";
import type { Rng } from "../../shared/rng.ts";
import { epochOrder } from "../../shared/train/epochs.ts";
import { createLimiter } from "./limiter.ts";
import type { ImageRecord } from "./source.ts";

/** A pure function of (records, seed, position): epoch e is positions e·count … e·count + count − 1, each record once. */
export interface RecordOrder {
  /** Number of records: one epoch. */
  readonly count: number;
  /**
   * @param position 0, 1, 2, …; any order and any number at once give the same records, ascending order is the fast one.
   * @throws usage error if there is no such position; bad-input if the source changed since it was counted.
   */
  at(position: number): Promise<ImageRecord>;
  /** Gives up what is open; `at` fails from then on. */
  close(): Promise<void>;
}

/** The whole list in memory, a fresh permutation every epoch (shared/train/epochs.ts). @param rng undefined keeps the order. */
export function listOrder(records: readonly ImageRecord[], rng: Rng | undefined): RecordOrder {
  const count = records.length;
  const order = epochOrder(count, rng);
  let closed = false;
  return {
    count,
    at: async (position) => {
      checkPosition(position, count);
      const record = records[order(position)];
      if (closed) throw closedError();
      invariant(record !== undefined, "a position stands for one of the records");
      return record;
    },
    close: async () => {
      closed = true;
    },
  };
}

export interface StreamOrderOptions {
  /** The same records in the same order at every call. */
  readonly records: () => AsyncIterable<ImageRecord>;
  /** How many they are. */
  readonly count: number;
  /** Records the next one is drawn from; from `count` on every permutation is equally likely. */
  readonly bufferSize: number;
  /** Epoch e draws from `rng.fork("shuffle", e)`; undefined keeps the order. */
  readonly rng: Rng | undefined;
  /** Given positions remembered, so that going back a little costs nothing; 4,096 unless said otherwise. */
  readonly window?: number;
}

/** Two batches made ahead and the one asked for, of up to 1,365 images each, stay inside. */
const DEFAULT_WINDOW = 4096;

/** One epoch's stream, on its way. */
interface Pass {
  readonly epoch: number;
  readonly drawn: AsyncGenerator<ImageRecord, void, undefined>;
  /** The position its next record stands at. */
  next: number;
}

/**
 * A shuffle buffer over a stream: memory holds `bufferSize` + `window` records, not the source. A position that lies before the
 * window, or in another epoch, costs a new pass over that epoch's records up to it (without reading one).
 * @throws usage error if `bufferSize` is no positive integer.
 */
export function streamOrder(options: StreamOrderOptions): RecordOrder {
  checkShuffleBuffer(options.bufferSize);
  const { count, window = DEFAULT_WINDOW } = options;
  const remembered = new Map<number, ImageRecord>();
  const inTurn = createLimiter(1);
  let pass: Pass | undefined;
  let closed = false;

  const leave = async (): Promise<void> => {
    const left = pass;
    pass = undefined;
    await left?.drawn.return();
  };
  const remember = (position: number, record: ImageRecord): void => {
    remembered.set(position, record);
    const oldest = remembered.keys().next();
    if (remembered.size > window && oldest.done !== true) remembered.delete(oldest.value);
  };
  const advance = async (current: Pass): Promise<ImageRecord> => {
    const drawn = await current.drawn.next().catch((error: unknown) => {
      pass = undefined; // a generator that threw has closed its source and gives nothing more
      throw error;
    });
    invariant(drawn.done !== true, "an epoch gives as many records as were counted, or fails");
    remember(current.next++, drawn.value);
    return drawn.value;
  };
  const streamTo = async (position: number): Promise<ImageRecord> => {
    const epoch = Math.floor(position / count);
    if (pass?.epoch !== epoch || pass.next > position) {
      await leave();
      pass = { epoch, drawn: drawEpoch(options, epoch), next: epoch * count };
    }
    const current = pass;
    while (!closed && current.next < position) await advance(current);
    if (closed) throw closedError();
    return advance(current);
  };
  return {
    count,
    at: async (position) => {
      checkPosition(position, count);
      return inTurn(async () => {
        if (closed) throw closedError();
        return remembered.get(position) ?? streamTo(position);
      });
    },
    close: () => {
      closed = true;
      return inTurn(async () => {
        remembered.clear();
        await leave();
      });
    },
  };
}

/**
 * The records of one epoch as the buffer gives them out: draw i takes a uniform slot of those filled, and the stream's next
 * record, or at its end the last slot, moves into the hole. Leaving early closes the stream.
 */
async function* drawEpoch(
  { records, count, bufferSize, rng }: StreamOrderOptions,
  epoch: number,
): AsyncGenerator<ImageRecord, void, undefined> {
  const draws = rng?.fork("shuffle", epoch);
  const size = draws === undefined ? 1 : bufferSize;
  const buffer: ImageRecord[] = [];
  let read = 0;
  const take = (replacement: ImageRecord | undefined): ImageRecord => {
    const slot = draws?.integer(buffer.length) ?? 0;
    const taken = buffer[slot];
    invariant(taken !== undefined, "a slot that was drawn is filled");
    if (replacement !== undefined) buffer[slot] = replacement;
    return taken;
  };
  for await (const record of records()) {
    if (++read > count) throw sourceChanged({ expected: `${count} records`, got: "more" });
    if (buffer.length < size) buffer.push(record);
    else yield take(record);
  }
  if (read < count) throw sourceChanged({ expected: `${count} records`, got: String(read) });
  while (buffer.length > 0) {
    const taken = take(buffer.at(-1));
    buffer.pop();
    yield taken;
  }
}

/** @throws usage error unless `size` is a positive integer. */
export function checkShuffleBuffer(size: number): void {
  if (Number.isSafeInteger(size) && size >= 1) return;
  throw usageError({
    what: "shuffle buffer is out of range",
    where: "shuffleBuffer",
    expected: "an integer ≥ 1",
    got: String(size),
  });
}

/** The error of a source that does not give again what it gave when it was counted. */
export function sourceChanged(contrast: { readonly expected: string; readonly got: string }): TesseraError {
  return badInput({
    what: "the image source changed while it was read",
    ...contrast,
    todo: "Leave the images as they are during a run, and start again.",
  });
}

function checkPosition(position: number, count: number): void {
  if (Number.isSafeInteger(position) && position >= 0 && count > 0) return;
  throw usageError({
    what: "no such position in the order of the records",
    where: "position",
    expected: "an integer ≥ 0, and at least one record",
    got: `${position} of ${count} records`,
  });
}

const closedError = (): TesseraError => failure({ what: "the order of the records is closed" });
