/**
 * What an image source is: named records in a fixed order. Knows no file format, no pixel size and no model; a new source
 * (a tar, a CSV of labels, a binary data set) is a further file that passes `tests/contracts/image-source.ts`.
 */

/** Uncompressed pixels in row-major order, for sources whose records are not encoded files. */
export interface RawPixels {
  /** [height, width, channels], 0 … 255 */
  readonly pixels: Uint8Array;
  readonly height: number;
  readonly width: number;
  /** 1 grey, 3 RGB, 4 RGB and alpha. */
  readonly channels: 1 | 3 | 4;
}

/** The bytes of an image file (JPEG, PNG, WebP, SVG, …), or pixels. */
export type ImageContent = Uint8Array | RawPixels;

export interface ImageRecord {
  /** Unique within the source and the same on every machine: a path with "/", a row number, a name. */
  readonly key: string;
  /** Index into the source's `classes`; absent if the image has none. */
  readonly label?: number;
  /** Records of one family are copies or near-copies of each other and never fall on both sides of a split. */
  readonly family: string;
  /** Reads the content; may be called any number of times, at the same time as other records' `read`. */
  read(): Promise<ImageContent>;
}

export interface ImageSource {
  /** For people and provenance: "emoji", "folder flowers". */
  readonly name: string;
  /** Names of the labels 0 … classes.length − 1; empty if nothing is labelled. */
  readonly classes: readonly string[];
  /** What was passed over at the opening: sentences for the user. */
  readonly notes?: readonly string[];
  /** All records, in an order that depends on the data alone; each call starts anew. */
  records(): AsyncIterable<ImageRecord>;
}

/** Every record of a source, or of a part of one, in a list: 100 bytes or so an image, not its pixels. */
export async function listRecords(source: Pick<ImageSource, "records">): Promise<ImageRecord[]> {
  const records: ImageRecord[] = [];
  for await (const record of source.records()) records.push(record);
  return records;
}

/** A list as `ImageSource.records` gives it: for what takes a stream and is given part of a source. */
export function iterateRecords(records: Iterable<ImageRecord>): AsyncIterable<ImageRecord> {
  return {
    [Symbol.asyncIterator]: () => {
      const iterator = records[Symbol.iterator]();
      return { next: () => Promise.resolve(iterator.next()) };
    },
  };
}
