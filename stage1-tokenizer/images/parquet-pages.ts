/**
 * Looks through the pages of a Parquet column before the library decodes them, since it allocates whatever a header says: lengths,
 * counts and runs must fit the bytes there are and the rows there should be. Decodes no value.
 */
import type { CompressionCodec } from "hyparquet";
import { numberField, readThrift, structField } from "./thrift.ts";

/** Bytes beyond which a column of one row group is refused, packed or not. One page cannot even say more. */
export const MAX_COLUMN = 2 ** 31 - 1;
const PAGE = { data: 0, dictionary: 2, data2: 3 };
/** Encodings of values that are runs of indices into the dictionary, and the one of runs of truth values. */
const INDICES: readonly (number | undefined)[] = [2, 8];
const TRUTH_VALUES = 3;

/** One page as its header describes it. */
export interface Page {
  readonly kind: "data" | "dictionary" | "data2";
  /** Where its bytes lie in the column, behind the header. */
  readonly start: number;
  readonly end: number;
  /** Bytes when decompressed, without the levels of a data2 page. */
  readonly unpacked: number;
  readonly values: number;
  /** Its values are indices into the dictionary. */
  readonly indices: boolean;
  readonly compressed: boolean;
}

export interface ColumnShape {
  readonly rows: number;
  readonly codec: CompressionCodec;
  /** Optional elements on the way to the values, at most 2: how many levels say what is null. */
  readonly levels: number;
}

/** @throws Error saying what is wrong; the caller knows the file and the row group. */
export function readPages(column: Uint8Array, shape: ColumnShape): Page[] {
  const pages: Page[] = [];
  let [offset, rows, unpacked] = [0, 0, 0];
  while (rows < shape.rows) {
    if (offset >= column.length) throw new Error(`column has ${rows} rows of ${shape.rows}`);
    const page = readPage(column, offset, shape);
    if (page.kind !== "dictionary") rows += page.values;
    unpacked += page.unpacked;
    if (rows > shape.rows) throw new Error(`column has more than ${shape.rows} rows`);
    if (unpacked > MAX_COLUMN) throw new Error(`column has more than ${MAX_COLUMN} bytes`);
    pages.push(page);
    offset = page.end;
  }
  return pages;
}

function readPage(column: Uint8Array, offset: number, { codec, levels }: ColumnShape): Page {
  const { fields, end: start } = readThrift(column, offset);
  const size = count(numberField(fields, 2), "size of a page");
  const packed = count(numberField(fields, 3), "packed size of a page");
  const end = start + packed;
  if (end > column.length) throw new Error("page is cut off");
  if (codec === "UNCOMPRESSED" && size !== packed) throw new Error(`page of ${size} bytes has ${packed}`);
  const place = { start, end, compressed: codec !== "UNCOMPRESSED" };
  switch (numberField(fields, 1)) {
    case PAGE.dictionary: {
      const values = count(numberField(structField(fields, 7), 1), "number of values");
      if (values > size) throw new Error(`dictionary of ${size} bytes has ${values} values`);
      return { ...place, kind: "dictionary", unpacked: size, values, indices: false };
    }
    case PAGE.data: {
      const header = structField(fields, 5);
      const values = count(numberField(header, 1), "number of values");
      const page: Page = {
        ...place,
        kind: "data",
        unpacked: size,
        values,
        indices: hasIndices(numberField(header, 2)),
      };
      if (!page.compressed) checkPage(column.subarray(start, end), page, levels);
      return page;
    }
    case PAGE.data2: {
      const header = structField(fields, 8);
      const values = count(numberField(header, 1), "number of values");
      const levelBytes = count(numberField(header, 5), "size of the levels");
      if (numberField(header, 3) !== values || numberField(header, 6) !== 0) throw new Error("page has lists in it");
      if (count(numberField(header, 2), "number of nulls") > values) throw new Error("page has more nulls than rows");
      if (levelBytes > packed || levelBytes > size) throw new Error("levels of a page are cut off");
      if (levels > 0) checkLevels(column.subarray(start, start + levelBytes), levels, values);
      const page: Page = {
        ...place,
        kind: "data2",
        unpacked: size - levelBytes,
        values,
        indices: hasIndices(numberField(header, 4)),
        compressed: place.compressed && numberField(header, 7) !== 0,
      };
      if (!page.compressed) checkPage(column.subarray(start + levelBytes, end), page, levels);
      return page;
    }
    default:
      throw new Error("page is of unknown kind");
  }
}

/** Looks into an unpacked page. @throws Error if its runs are longer than the page has values. */
export function checkPage(bytes: Uint8Array, { kind, values, indices }: Page, levels: number): void {
  if (kind === "dictionary") return;
  let offset = 0;
  if (kind === "data" && levels > 0) {
    if (bytes.length < 4) throw new Error("levels of a page are cut off");
    offset = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (offset > bytes.length) throw new Error("levels of a page are cut off");
    checkLevels(bytes.subarray(4, offset), levels, values);
  }
  const width = indices ? bytes[offset] : undefined;
  if (width === undefined) return;
  if (width > 32) throw new Error(`indices of ${width} bits`);
  checkRuns(bytes.subarray(offset + 1), width, values);
}

function checkLevels(bytes: Uint8Array, levels: number, values: number): void {
  const seen = checkRuns(bytes, 32 - Math.clz32(levels), values);
  if (seen < values) throw new Error(`page has levels for ${seen} of ${values} values`);
}

/**
 * Runs of one repeated value, or of values side by side in groups of eight, until there are `values`, or no more bytes.
 * @returns how many values they have, the padding of the last group among them.
 */
function checkRuns(bytes: Uint8Array, width: number, values: number): number {
  let [offset, seen] = [0, 0];
  while (seen < values && offset < bytes.length) {
    const { value: head, end } = readVarint(bytes, offset);
    const packed = head % 2 === 1;
    const length = Math.floor(head / 2) * (packed ? 8 : 1);
    if (length > values - seen + (packed ? 7 : 0)) throw new Error(`run of ${length} in a page of ${values} values`);
    seen += length;
    offset = end + (packed ? (length / 8) * width : Math.ceil(width / 8));
  }
  return seen;
}

function readVarint(bytes: Uint8Array, start: number): { value: number; end: number } {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[start + i] ?? 0;
    value += (byte & 127) * 128 ** i;
    if (byte < 128) return { value, end: start + i + 1 };
  }
  throw new Error("length of a run is out of range");
}

function hasIndices(encoding: number | undefined): boolean {
  if (encoding === TRUTH_VALUES) throw new Error("column holds truth values");
  return INDICES.includes(encoding);
}

function count(value: number | undefined, what: string): number {
  if (value === undefined || value < 0) throw new Error(`${what} is ${value ?? "missing"}`);
  return value;
}
