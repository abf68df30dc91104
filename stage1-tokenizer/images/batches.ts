/**
 * Training batches as a pure function of (order, step). Knows no model and no order; decodes ahead of the caller, so that libuv's
 * threads work while a step occupies this one.
 */
import { badInput, failure, type TesseraError, usageError } from "../../shared/errors.ts";
import { KeySet } from "../../shared/key-set.ts";
import { decodeRecord } from "./decode.ts";
import { createLimiter } from "./limiter.ts";
import type { RecordOrder } from "./order.ts";
import type { Preprocessing } from "./preprocess.ts";
import type { ImageRecord } from "./source.ts";

export interface ImageBatch {
  /** [B, H, W, 3], 0 … 255, in sRGB */
  readonly images: Uint8Array;
  /** B keys, in the order of `images`. */
  readonly keys: readonly string[];
  /** [B], index of the class; −1 for none. */
  readonly labels: Int32Array;
}

export interface ImageFailure {
  readonly key: string;
  readonly error: TesseraError;
}

/** For people; most errors name the record themselves. */
export function describeImageFailure({ key, error }: { key: string; error: Pick<Error, "message"> }): string {
  return `left out ${error.message.startsWith(key) ? error.message : `${key}: ${error.message}`}`;
}

/** Told once about each record that cannot be decoded. Without one, the first such record is thrown. */
export type OnImageFailure = (failure: ImageFailure) => void;

export interface BatchesOptions {
  /** Closed with the batches. */
  readonly order: RecordOrder;
  readonly preprocessing: Preprocessing;
  readonly batchSize: number;
  /** Images read and decoded at the same time, 64 unless said otherwise: bounds memory, changes no batch. */
  readonly workers?: number;
  /** Decoded pixels kept in memory; 256 MiB unless said otherwise, 0 for none. */
  readonly cacheBytes?: number;
  readonly onFailure?: OnImageFailure;
}

export interface Batches {
  /** Number of records: one epoch. */
  readonly count: number;
  /**
   * The images at positions step·B … step·B + B − 1 of the endless row of epochs (order.ts); batches run across the ends of
   * epochs. In place of a record that cannot be decoded stands the one at the next position that can, be it in the next epoch.
   * @param step 0, 1, 2, …; any order gives the same batches, ascending order is decoded ahead.
   * @throws bad-input if no record can be decoded, if the source changed, or at the first record that cannot be decoded if there is
   * no `onFailure`.
   */
  batch(step: number): Promise<ImageBatch>;
  /** Lets work under way end, closes the order and frees the cache; `batch` fails from then on. */
  close(): Promise<void>;
}

const DEFAULT_CACHE_BYTES = 256 * 2 ** 20;
/** Batches under way beyond the one asked for: reading takes several turns of the event loop, and a step allows only one. */
const PREFETCHED_BATCHES = 2;
const DEFAULT_WORKERS = 64;

/** @throws usage error if batchSize or workers is no positive integer; bad-input if there are no records. */
export function createBatches(options: BatchesOptions): Batches {
  checkBatchSize(options.batchSize);
  const { order } = options;
  if (order.count === 0) throw noImage("there are no images to make batches of");
  const store = createPixelStore(options);
  const assemble = createAssembler(options, store);
  const ahead = new Map<number, Promise<ImageBatch>>();
  const running = new Set<Promise<unknown>>();

  const start = (step: number): Promise<ImageBatch> => {
    const batch = assemble(step);
    const settled: Promise<unknown> = batch.then(
      () => running.delete(settled),
      () => running.delete(settled), // a batch decoded ahead fails where it is asked for, or nowhere
    );
    running.add(settled);
    return batch;
  };
  return {
    count: order.count,
    batch: (step) => {
      if (!(Number.isSafeInteger(step) && step >= 0)) return Promise.reject(wrongStep(step));
      const batch = ahead.get(step) ?? start(step);
      ahead.delete(step);
      for (const other of ahead.keys()) if (other < step || other > step + PREFETCHED_BATCHES) ahead.delete(other);
      for (let next = step + 1; next <= step + PREFETCHED_BATCHES; next++) {
        if (!ahead.has(next)) ahead.set(next, start(next));
      }
      return batch;
    },
    close: async () => {
      store.close();
      ahead.clear();
      await order.close();
      await Promise.all(running);
    },
  };
}

/** step → batch, without memory between calls but for the order's. */
function createAssembler(options: BatchesOptions, store: PixelStore): (step: number) => Promise<ImageBatch> {
  const { order, preprocessing, batchSize } = options;
  const imageBytes = preprocessing.size[0] * preprocessing.size[1] * 3;
  return async (step) => {
    const positions = Array.from({ length: batchSize }, (_, i) => step * batchSize + i);
    const found = await Promise.all(positions.map((position) => firstDecodable(position, order, store)));
    const images = new Uint8Array(batchSize * imageBytes); // [B, H, W, 3]
    found.forEach(({ pixels }, i) => images.set(pixels, i * imageBytes));
    return {
      images,
      keys: found.map(({ record }) => record.key),
      labels: Int32Array.from(found, ({ record }) => record.label ?? -1), // [B]
    };
  };
}

/** The image at `position`, or at the next one that can be decoded. Any 2·count − 1 positions in a row hold a whole epoch. */
async function firstDecodable(position: number, order: RecordOrder, store: PixelStore) {
  for (let next = position; next < position + 2 * order.count; next++) {
    const record = await order.at(next);
    const pixels = await store.pixels(record);
    if (pixels) return { record, pixels };
  }
  throw noImage(`none of the ${order.count} images can be decoded`);
}

interface PixelStore {
  /** [H, W, 3] of one record; undefined if it cannot be decoded. Not to be written to. */
  pixels(record: ImageRecord): Promise<Uint8Array | undefined>;
  close(): void;
}

/** Decodes records, remembers the bad ones, and keeps the first that fit the cache (in a shuffled epoch no choice is better). */
function createPixelStore(options: BatchesOptions): PixelStore {
  const { preprocessing, cacheBytes = DEFAULT_CACHE_BYTES, workers = DEFAULT_WORKERS, onFailure } = options;
  checkCount(workers, { what: "number of workers is out of range", where: "workers" });
  const limit = createLimiter(workers);
  const cache = new Map<string, Uint8Array>();
  const broken = new KeySet();
  let roomLeft = cacheBytes;
  let closed = false;

  const load = async (record: ImageRecord): Promise<Uint8Array | undefined> => {
    if (closed) throw failure({ what: "image batches are closed" });
    const decoded = await decodeRecord(record, preprocessing);
    if (!decoded.ok) {
      if (!onFailure) throw decoded.failure;
      if (broken.add(record.key)) onFailure({ key: record.key, error: decoded.failure });
      return undefined;
    }
    const { pixels } = decoded;
    if (!cache.has(record.key) && pixels.length <= roomLeft) {
      cache.set(record.key, pixels);
      roomLeft -= pixels.length;
    }
    return pixels;
  };
  return {
    pixels: async (record) => cache.get(record.key) ?? (broken.has(record.key) ? undefined : limit(() => load(record))),
    close: () => {
      closed = true;
      roomLeft = 0;
      cache.clear();
    },
  };
}

/** @throws usage error unless `batchSize` is a positive integer. */
export function checkBatchSize(batchSize: number): void {
  checkCount(batchSize, { what: "batch size is out of range", where: "batchSize" });
}

function checkCount(value: number, sentence: { readonly what: string; readonly where: string }): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw usageError({ ...sentence, expected: "an integer ≥ 1", got: String(value) });
}

function wrongStep(step: number): TesseraError {
  return usageError({ what: "no such batch", where: "step", expected: "an integer ≥ 0", got: String(step) });
}

/** The error of a data set without a single usable image. */
export function noImage(what: string): TesseraError {
  return badInput({ what, expected: "at least one image", todo: "Check the folder, or one of its files in a viewer." });
}
