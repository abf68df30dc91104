/**
 * Looks through the pages of a Parquet column before the library decodes them, since it allocates whatever a header says: lengths,
 * counts and runs must fit the bytes there are and the rows there should be. Decodes no value.
 */
import type { CompressionCodec } from "hyparquet";
import { checkValues, countPresent } from "./parquet-encodings.ts";
import { numberField, readThrift, structField, type ThriftStruct } from "./thrift.ts";

/** Bytes beyond which a column of one row group is refused, packed or not. One page cannot even say more. */
export const MAX_COLUMN = 2 ** 31 - 1;
const PAGE = { data: 0, dictionary: 2, data2: 3 };
/** One page as its header describes it. */
export interface Page {
  readonly kind: "data" | "dictionary" | "data2";
  /** Where its bytes lie in the column, behind the header, and the levels of a data2 page. */
  readonly start: number;
  readonly end: number;
  /** Bytes when decompressed, without the levels of a data2 page. */
  readonly unpacked: number;
  /** Nulls among them. */
  readonly values: number;
  /** Those that are not null, where the header already says. */
  readonly present?: number;
  readonly encoding: number | undefined;
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
    if (!page.compressed) checkPage(column.subarray(page.start, page.end), page, shape.levels);
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
      const header = structField(fields, 7);
      const values = count(numberField(header, 1), "number of values");
      if (values > size) throw new Error(`dictionary of ${size} bytes has ${values} values`);
      return { ...place, kind: "dictionary", unpacked: size, values, encoding: numberField(header, 2) };
    }
    case PAGE.data: {
      const header = structField(fields, 5);
      const values = count(numberField(header, 1), "number of values");
      return { ...place, kind: "data", unpacked: size, values, encoding: numberField(header, 2) };
    }
    case PAGE.data2: {
      const levelBytes = count(numberField(structField(fields, 8), 5), "size of the levels");
      if (levelBytes > Math.min(packed, size)) throw new Error("levels of a page are cut off");
      const page = readPage2(structField(fields, 8), column.subarray(start, start + levelBytes), levels);
      const compressed = place.compressed && page.compressed;
      return { ...place, ...page, compressed, unpacked: size - levelBytes, start: start + levelBytes };
    }
    default:
      throw new Error("page is of unknown kind");
  }
}

/** Pages of the second kind have their levels in front, never packed. */
function readPage2(header: ThriftStruct | undefined, levelBytes: Uint8Array, levels: number) {
  const values = count(numberField(header, 1), "number of values");
  const nulls = count(numberField(header, 2), "number of nulls");
  if (numberField(header, 3) !== values || numberField(header, 6) !== 0) throw new Error("page has lists in it");
  const present = levels > 0 ? countPresent(levelBytes, levels, values) : values;
  if (present + nulls !== values) throw new Error(`page has ${values - present} nulls where it says ${nulls}`);
  return {
    kind: "data2",
    values,
    present,
    encoding: numberField(header, 4),
    compressed: numberField(header, 7) !== 0,
  } as const;
}

/** Looks into an unpacked page. @throws Error if what it holds is not as many values as it says. */
export function checkPage(bytes: Uint8Array, { kind, values, encoding, present }: Page, levels: number): void {
  if (kind === "dictionary") return;
  if (kind === "data2" || levels === 0) {
    checkValues(bytes, encoding, present ?? values);
    return;
  }
  const start = 4 + (bytes.length < 4 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true));
  if (start > bytes.length) throw new Error("levels of a page are cut off");
  checkValues(bytes.subarray(start), encoding, countPresent(bytes.subarray(4, start), levels, values));
}

function count(value: number | undefined, what: string): number {
  if (value === undefined || value < 0) throw new Error(`${what} is ${value ?? "missing"}`);
  return value;
}
