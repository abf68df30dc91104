/**
 * Every image of a source once, in order, in batches: for measuring and drawing. Knows no model; memory does not grow with the source.
 */
import { checkBatchSize, type ImageBatch, noImage, type OnImageFailure } from "./batches.ts";
import { type DecodedRecord, decodeRecord } from "./decode.ts";
import type { Preprocessing } from "./preprocess.ts";
import type { ImageRecord } from "./source.ts";

export interface StreamOptions {
  readonly records: AsyncIterable<ImageRecord>;
  readonly preprocessing: Preprocessing;
  readonly batchSize: number;
  /** Told about each record that cannot be decoded, which is then left out. Without one, the first is thrown. */
  readonly onFailure?: OnImageFailure;
}

/** At least this many images are decoded ahead, and at most 64, whatever the batch size. */
const LEAST_AHEAD = 16;
const MOST_AHEAD = 64;

interface Decoding {
  readonly record: ImageRecord;
  /** Never rejects: an error nobody has come to yet must not end the process. */
  readonly result: Promise<DecodedRecord | { readonly bug: unknown }>;
}

/**
 * Batches of `batchSize` images, the last one shorter; further images are decoded while the caller works on one.
 * @throws bad-input if there is no record, or none that can be decoded; usage error if batchSize is no positive integer.
 */
export async function* streamImages(options: StreamOptions): AsyncGenerator<ImageBatch, void, undefined> {
  checkBatchSize(options.batchSize);
  const { preprocessing, batchSize } = options;
  let records: ImageRecord[] = [];
  let pixels: Uint8Array[] = [];
  let total = 0;
  for await (const image of decodeInOrder(options)) {
    records.push(image.record);
    pixels.push(image.pixels);
    total++;
    if (records.length < batchSize) continue;
    yield toBatch(records, pixels, preprocessing);
    [records, pixels] = [[], []];
  }
  if (total === 0) throw noImage("no image of the source can be decoded");
  if (records.length > 0) yield toBatch(records, pixels, preprocessing);
}

async function* decodeInOrder(options: StreamOptions): AsyncGenerator<{ record: ImageRecord; pixels: Uint8Array }> {
  const { preprocessing, batchSize, onFailure } = options;
  const ahead = Math.min(Math.max(batchSize, LEAST_AHEAD), MOST_AHEAD);
  const queue: Decoding[] = [];
  const settle = async (decoding: Decoding): Promise<Uint8Array | undefined> => {
    const decoded = await decoding.result;
    if ("bug" in decoded) throw decoded.bug;
    if (decoded.ok) return decoded.pixels;
    if (!onFailure) throw decoded.failure;
    onFailure({ key: decoding.record.key, error: decoded.failure });
    return undefined;
  };
  for await (const record of options.records) {
    queue.push({ record, result: decodeRecord(record, preprocessing).catch((bug: unknown) => ({ bug })) });
    const first = queue.length > ahead ? queue.shift() : undefined;
    const pixels = first && (await settle(first));
    if (first && pixels) yield { record: first.record, pixels };
  }
  for (const decoding of queue) {
    const pixels = await settle(decoding);
    if (pixels) yield { record: decoding.record, pixels };
  }
}

function toBatch(
  records: readonly ImageRecord[],
  pixels: readonly Uint8Array[],
  preprocessing: Preprocessing,
): ImageBatch {
  const imageBytes = preprocessing.size[0] * preprocessing.size[1] * 3;
  const images = new Uint8Array(records.length * imageBytes); // [B, H, W, 3]
  pixels.forEach((image, i) => images.set(image, i * imageBytes));
  return {
    images,
    keys: records.map((record) => record.key),
    labels: Int32Array.from(records, (record) => record.label ?? -1), // [B]
  };
}
