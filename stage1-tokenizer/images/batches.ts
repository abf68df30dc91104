/**
 * Training batches as a pure function of (seed, step). Knows no model; decodes ahead of the caller, so that libuv's threads work
 * while a step occupies this one.
 */
import { badInput, failure, type TesseraError, usageError } from "../../shared/errors.ts";
import type { Rng } from "../../shared/rng.ts";
import { epochOrder, type EpochOrder } from "../../shared/train/epochs.ts";
import { decodeRecord } from "./decode.ts";
import { createLimiter } from "./limiter.ts";
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

/** Told once about each record that cannot be decoded. Without one, the first such record is thrown. */
export type OnImageFailure = (failure: ImageFailure) => void;

export interface BatchesOptions {
  readonly records: readonly ImageRecord[];
  readonly preprocessing: Preprocessing;
  readonly batchSize: number;
  readonly rng: Rng;
  /** false keeps the records' order in every epoch. */
  readonly shuffle: boolean;
  /** Decoded pixels kept in memory; 256 MiB unless said otherwise, 0 for none. */
  readonly cacheBytes?: number;
  readonly onFailure?: OnImageFailure;
}

export interface Batches {
  /** Number of records: one epoch. */
  readonly count: number;
  /**
   * The images at positions step·B … step·B + B − 1 of the endless row of epochs (shared/train/epochs.ts); batches run across the
   * ends of epochs. In place of a record that cannot be decoded stands the next one of its epoch that can.
   * @param step 0, 1, 2, …; any order gives the same batches, ascending order is decoded ahead.
   * @throws bad-input if no record can be decoded, or at the first that cannot if there is no `onFailure`.
   */
  batch(step: number): Promise<ImageBatch>;
  /** Lets work under way end and frees the cache; `batch` fails from then on. */
  close(): Promise<void>;
}

const DEFAULT_CACHE_BYTES = 256 * 2 ** 20;
/** Batches under way beyond the one asked for: reading takes several turns of the event loop, and a step allows only one. */
const PREFETCHED_BATCHES = 2;
const CONCURRENT_IMAGES = 64;

/** @throws usage error if batchSize is no positive integer; bad-input if there are no records. */
export function createBatches(options: BatchesOptions): Batches {
  checkBatchSize(options.batchSize);
  const { records } = options;
  if (records.length === 0) throw noImage("there are no images to make batches of");
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
    count: records.length,
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
      await Promise.all(running);
    },
  };
}

/** step → batch, without memory between calls but for the orders last used. */
function createAssembler(options: BatchesOptions, store: PixelStore): (step: number) => Promise<ImageBatch> {
  const { records, preprocessing, batchSize, rng, shuffle } = options;
  const imageBytes = preprocessing.size[0] * preprocessing.size[1] * 3;
  const order = epochOrder(records.length, shuffle ? rng : undefined);
  return async (step) => {
    const positions = Array.from({ length: batchSize }, (_, i) => step * batchSize + i);
    const found = await Promise.all(
      positions.map((position) => firstDecodable(position, { order, count: records.length, store })),
    );
    const images = new Uint8Array(batchSize * imageBytes); // [B, H, W, 3]
    found.forEach(({ pixels }, i) => images.set(pixels, i * imageBytes));
    return {
      images,
      keys: found.map(({ index }) => records[index]?.key ?? ""),
      labels: Int32Array.from(found, ({ index }) => records[index]?.label ?? -1), // [B]
    };
  };
}

/** The image at `position`, or the next one of its epoch that can be decoded. */
async function firstDecodable(position: number, from: { order: EpochOrder; count: number; store: PixelStore }) {
  const { order, count, store } = from;
  const offset = position % count;
  for (let k = 0; k < count; k++) {
    const index = order(position - offset + ((offset + k) % count));
    const pixels = await store.pixels(index);
    if (pixels) return { index, pixels };
  }
  throw noImage(`none of the ${count} images can be decoded`);
}

interface PixelStore {
  /** [H, W, 3] of one record; undefined if it cannot be decoded. Not to be written to. */
  pixels(index: number): Promise<Uint8Array | undefined>;
  close(): void;
}

/** Decodes records, remembers the bad ones, and keeps the first that fit the cache (in a shuffled epoch no choice is better). */
function createPixelStore(options: BatchesOptions): PixelStore {
  const { records, preprocessing, cacheBytes = DEFAULT_CACHE_BYTES, onFailure } = options;
  const limit = createLimiter(CONCURRENT_IMAGES);
  const cache = new Map<number, Uint8Array>();
  const broken = new Set<number>();
  let roomLeft = cacheBytes;
  let closed = false;

  const load = async (index: number): Promise<Uint8Array | undefined> => {
    const record = records[index];
    if (closed || !record) throw failure({ what: "image batches are closed" });
    const decoded = await decodeRecord(record, preprocessing);
    if (!decoded.ok) {
      if (!onFailure) throw decoded.failure;
      if (!broken.has(index)) onFailure({ key: record.key, error: decoded.failure });
      broken.add(index);
      return undefined;
    }
    const { pixels } = decoded;
    if (!cache.has(index) && pixels.length <= roomLeft) {
      cache.set(index, pixels);
      roomLeft -= pixels.length;
    }
    return pixels;
  };
  return {
    pixels: async (index) => (broken.has(index) ? undefined : (cache.get(index) ?? limit(() => load(index)))),
    close: () => {
      closed = true;
      roomLeft = 0;
      cache.clear();
    },
  };
}

/** @throws usage error unless `batchSize` is a positive integer. */
export function checkBatchSize(batchSize: number): void {
  if (Number.isSafeInteger(batchSize) && batchSize >= 1) return;
  throw usageError({
    what: "batch size is out of range",
    where: "batchSize",
    expected: "an integer ≥ 1",
    got: String(batchSize),
  });
}

function wrongStep(step: number): TesseraError {
  return usageError({ what: "no such batch", where: "step", expected: "an integer ≥ 0", got: String(step) });
}

/** The error of a data set without a single usable image. */
export function noImage(what: string): TesseraError {
  return badInput({ what, expected: "at least one image", todo: "Check the folder, or one of its files in a viewer." });
}
