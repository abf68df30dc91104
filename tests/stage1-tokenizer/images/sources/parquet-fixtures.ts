/** Small Parquet files, made with hyparquet-writer, and two by Apache Arrow, whose pages are of the older kind. */
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { SchemaElement } from "hyparquet";
import { type ColumnSource, parquetWriteBuffer, type ParquetWriteOptions } from "hyparquet-writer";

export type Row = readonly [image: Uint8Array | null, label: number | string | null];

const IMAGE: SchemaElement[] = [
  { name: "image", num_children: 2, repetition_type: "OPTIONAL" },
  { name: "bytes", type: "BYTE_ARRAY", repetition_type: "OPTIONAL" },
  { name: "path", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
];
const TEXT: SchemaElement = { name: "label", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" };
const INTEGER: SchemaElement = { name: "label", type: "INT64", repetition_type: "OPTIONAL" };

interface HuggingFaceOptions extends Partial<ParquetWriteOptions> {
  readonly names?: readonly string[];
}

/** As Hugging Face data sets are: image {bytes, path} and label, three rows a group. */
export function huggingFace(rows: readonly Row[], { names, ...options }: HuggingFaceOptions = {}): Uint8Array {
  const isText = rows.some(([, label]) => typeof label === "string");
  const images = rows.map(([bytes], i) => (bytes === null ? null : { bytes, path: `${i}.png` }));
  const labels = rows.map(([, label]) => (typeof label === "number" ? BigInt(label) : label));
  const features = { image: { _type: "Image" }, label: { names, _type: "ClassLabel" } };
  const metadata = { key: "huggingface", value: JSON.stringify({ info: { features } }) };
  return write([column("image", images), column("label", labels)], {
    schema: [{ name: "root", num_children: 2 }, ...IMAGE, isText ? TEXT : INTEGER],
    ...(names && { kvMetadata: [metadata] }),
    ...options,
  });
}

/** The writer takes the type from the schema; `any` is how it says that. */
export const column = (name: string, data: unknown[]): ColumnSource => ({ name, data });

export function write(columnData: ColumnSource[], options: Partial<ParquetWriteOptions> = {}): Uint8Array {
  const compressors = { GZIP: gzipSync, BROTLI: brotliCompressSync };
  return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 3, compressors, ...options }));
}

/** Images "first image", "second", "first image", none, "first image"; labels 2, 0, 2, 0, none; three rows a group. */
export const ARROW = {
  "zstd, dictionaries": [
    "UEFSMRUEFTIVREwVBBUAEgAAKLUv/SAZyQAACwAAAGZpcnN0IGltYWdlBgAAAHNlY29uZBUAFRIVJCwVBhUQFQYVBhwAAAAotS/9IAlJAAACAAAA",
    "BgIBAwIVBBUSFSRMFQIVABIAACi1L/0gCUkAAAUAAABwLnBuZxUAFRIVJCwVBhUQFQYVBhwAAAAotS/9IAlJAAACAAAABgIBBgAVBBUgFSJMFQQV",
    "ABIAACi1L/0gEEUAABACAAEAMsACFQAVEhUkLBUGFRAVBhUGHAAAACi1L/0gCUkAAAIAAAAGAQEDAhUEFR4VMEwVAhUAEgAAKLUv/SAPeQAACwAA",
    "AGZpcnN0IGltYWdlFQAVFBUmLBUEFRAVBhUGHAAAACi1L/0gClEAAAMAAAADCAABAgAVBBUSFSRMFQIVABIAACi1L/0gCUkAAAUAAABwLnBuZxUA",
    "FRQVJiwVBBUQFQYVBhwAAAAotS/9IApRAAADAAAAAwgAAQIAFQQVEBUiTBUCFQASAAAotS/9IAhBAAAAAAAAAAAAABUAFRIVJCwVBBUQFQYVBhwA",
    "AAAotS/9IAlJAAACAAAAAwEBAgAVBBlcNQAYBnNjaGVtYRUEADUCGAVpbWFnZRUEABUMJQIYBWJ5dGVzABUMJQIYBHBhdGglAEwcAAAAFQQlAhgF",
    "bGFiZWwAFgoZLBk8JgAcFQwZNQAGEBkoBWltYWdlBWJ5dGVzFQwWBhaGARaqASZoJggpLBUEFQAVAgAVABUQFQIAPBY4GQYZNgAABgAAACYAHBUM",
    "GTUABhAZKAVpbWFnZQRwYXRoFQwWBhZmFooBJvIBJrIBKSwVBBUAFQIAFQAVEBUCADwWHhkGGTYAAAYAAAAmABwVBBk1AAYQGRgFbGFiZWwVDBYG",
    "FnQWiAEm+gImvAIpLBUEFQAVAgAVABUQFQIAPCkGGSYABgAAABbgAhYGJggWvAMAGTwmABwVDBk1AAYQGSgFaW1hZ2UFYnl0ZXMVDBYEFnQWmAEm",
    "kAQmxAMpLBUEFQAVAgAVABUQFQIAPBYWGQYZNgIAAgAAACYAHBUMGTUABhAZKAVpbWFnZQRwYXRoFQwWBBZoFowBJpwFJtwEKSwVBBUAFQIAFQAV",
    "EBUCADwWChkGGTYCAAIAAAAmABwVBBk1AAYQGRgFbGFiZWwVDBYEFmQWiAEmpgYm6AUpLBUEFQAVAgAVABUQFQIAPCkGGSYCAgAAABbAAhYEJsQD",
    "FqwDACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNS4wLjEZPBwAABwAABwAAAAWAgAAUEFSMQ==",
  ].join(""),
  "snappy, plain": [
    "UEFSMRUAFVwVYCwVBhUAFQYVBhwAAAAutAIAAAAGAgsAAABmaXJzdCBpbWFnZQYAAABzZWNvbmQLAAAAZmlyc3QgaW1hZ2UVABVCFSgsFQYVABUG",
    "FQYcAAAAITgCAAAABgIFAAAAcC5wbmdGCQAVABU8FSwsFQYVABUGFQYcAAAAHhQCAAAABgEBBi4BABwCAAAAAAAAABUAFSwVMCwVBBUAFQYVBhwA",
    "AAAWVAMAAAADCAALAAAAZmlyc3QgaW1hZ2UVABUgFSQsFQQVABUGFQYcAAAAEDwDAAAAAwgABQAAAHAucG5nFQAVHBUgLBUEFQAVBhUGHAAAAA40",
    "AgAAAAMBAAAAAAAAAAAVBBlcNQAYBnNjaGVtYRUEADUCGAVpbWFnZRUEABUMJQIYBWJ5dGVzABUMJQIYBHBhdGglAEwcAAAAFQQlAhgFbGFiZWwA",
    "FgoZLBk8JgAcFQwZJQYAGSgFaW1hZ2UFYnl0ZXMVAhYGFoIBFoYBJghJHBUAFQAVAgA8FjgZBhk2AAAGAAAAJgAcFQwZJQYAGSgFaW1hZ2UEcGF0",
    "aBUCFgYWaBZOJo4BSRwVABUAFQIAPBYeGQYZNgAABgAAACYAHBUEGSUGABkYBWxhYmVsFQIWBhZiFlIm3AFJHBUAFQAVAgA8KQYZJgAGAAAAFswC",
    "FgYmCBamAgAZPCYAHBUMGSUGABkoBWltYWdlBWJ5dGVzFQIWBBZSFlYmrgJJHBUAFQAVAgA8FhYZBhk2AgACAAAAJgAcFQwZJQYAGSgFaW1hZ2UE",
    "cGF0aBUCFgQWRhZKJoQDSRwVABUAFQIAPBYKGQYZNgIAAgAAACYAHBUEGSUGABkYBWxhYmVsFQIWBBZCFkYmzgNJHBUAFQAVAgA8KQYZJgICAAAA",
    "FtoBFgQmrgIW5gEAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI1LjAuMRk8HAAAHAAAHAAAANABAABQQVIx",
  ].join(""),
};
