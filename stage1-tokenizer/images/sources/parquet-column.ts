/**
 * The values of one column in one row group of a Parquet file. Decoding is the library's; what it would take on trust was looked
 * through before. Knows nothing of images and labels.
 */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import {
  type CompressionCodec,
  type Compressors,
  type FileMetaData,
  parquetReadObjects,
  type SchemaElement,
} from "hyparquet";
import { compressors, decompressZstd } from "hyparquet-compressors";
import { checkPage, MAX_COLUMN, type Page, readPages } from "./parquet-pages.ts";
import type { RangedFile } from "./ranged-file.ts";

export interface ParquetColumn {
  /** From the top-level element down to the values; none is repeated. */
  readonly elements: readonly SchemaElement[];
  /** One a row group. */
  readonly chunks: readonly ParquetChunk[];
}

export interface ParquetChunk {
  readonly rows: number;
  readonly codec: CompressionCodec;
  /** Offset in the file. */
  readonly start: number;
  /** Bytes, with the headers of the pages. */
  readonly length: number;
}

type Decompress = (packed: Uint8Array, length: number) => Uint8Array;

/** None makes more than `length` bytes, whatever the packed ones say. */
const DECOMPRESS: Readonly<Partial<Record<CompressionCodec, Decompress>>> = {
  ...compressors,
  GZIP: (packed, length) => gunzipSync(packed, { maxOutputLength: length }),
  BROTLI: (packed, length) => brotliDecompressSync(packed, { maxOutputLength: length }),
  ZSTD: (packed, length) => decompressZstd(packed, new Uint8Array(length)),
};

/**
 * Reads a chunk of a column. The values are views of larger buffers.
 * @returns one value a row: Uint8Array for bytes, or string if `text`, number or bigint; null or undefined where there is none.
 * @throws bad-input if the file cannot be read, or Error with the reason why the chunk cannot be decoded.
 */
export async function readColumn(
  file: RangedFile,
  { elements, chunks }: ParquetColumn,
  group: number,
  { text }: { text: boolean },
): Promise<unknown[]> {
  const chunk = chunks[group];
  if (chunk === undefined || chunk.rows === 0) return [];
  const levels = elements.filter(({ repetition_type }) => repetition_type !== "REQUIRED").length;
  if (chunk.length > MAX_COLUMN) throw new Error(`column has ${chunk.length} bytes, more than ${MAX_COLUMN}`);
  const bytes = await file.read(chunk.start, chunk.length);
  const pages = readPages(bytes, { rows: chunk.rows, codec: chunk.codec, levels });
  const column = part(bytes.buffer, 0, pages.at(-1)?.end);
  const rows: unknown[] = await parquetReadObjects({
    file: { byteLength: column.byteLength, slice: (start, end) => part(column, start, end) },
    metadata: metadataOf(elements, chunk, column.byteLength),
    compressors: checkedDecompression(chunk.codec, pages, levels),
    utf8: text,
    geoparquet: false,
  });
  if (rows.length !== chunk.rows) throw new Error(`column has ${rows.length} rows of ${chunk.rows}`);
  return rows.map((row) => elements.reduce<unknown>((value, { name }) => fieldOf(value, name), row));
}

/** Like `slice`, but the whole is no copy. */
const part = (buffer: ArrayBuffer, start: number, end = buffer.byteLength): ArrayBuffer =>
  start === 0 && end === buffer.byteLength ? buffer : buffer.slice(start, end);

/** A file of this chunk alone: one column, one row group, from byte 0. */
function metadataOf(elements: readonly SchemaElement[], { rows, codec }: ParquetChunk, length: number): FileMetaData {
  const leaf = elements.at(-1);
  const [num_rows, size] = [BigInt(rows), BigInt(length)];
  const meta_data = {
    type: leaf?.type ?? "BYTE_ARRAY",
    encodings: [],
    path_in_schema: elements.map(({ name }) => name),
    codec,
    num_values: num_rows,
    total_uncompressed_size: size,
    total_compressed_size: size,
    data_page_offset: 0n,
  };
  return {
    version: 1,
    schema: [
      { name: "root", num_children: 1 },
      ...elements.map((element) => (element === leaf ? element : { ...element, num_children: 1 })),
    ],
    num_rows,
    row_groups: [{ columns: [{ file_offset: 0n, meta_data }], total_byte_size: size, num_rows }],
    metadata_length: 0,
  };
}

/** The library unpacks the pages in their order, each when it comes to it. */
function checkedDecompression(codec: CompressionCodec, pages: readonly Page[], levels: number): Compressors {
  const decompress = DECOMPRESS[codec];
  if (decompress === undefined) return {};
  const left = pages.filter(({ compressed }) => compressed).values();
  return {
    [codec]: (packed: Uint8Array, length: number) => {
      const page = left.next().value;
      if (page?.unpacked !== length) throw new Error(`page of ${length} bytes comes out of order`);
      const bytes = length === 0 ? new Uint8Array(0) : decompress(packed, length);
      if (bytes.length !== length) throw new Error(`page of ${length} bytes unpacks to ${bytes.length}`);
      checkPage(bytes, page, levels);
      return bytes;
    },
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
