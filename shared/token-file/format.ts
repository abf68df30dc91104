/**
 * What stands in a token file, object by object: header, one map per image, footer; and in the index beside the shards. Encodes,
 * decodes and checks single objects; opens no file.
 */
import { crc32 } from "node:zlib";

import { z } from "zod";

import { badInput, mismatch } from "../errors.ts";
import type { JsonValue } from "../fingerprint.ts";
import { packObject, unpackObject } from "./msgpack.ts";

export const TOKEN_FORMAT_VERSION = 1;
export const INDEX_FILE = "index.json";
export const FAILURES_FILE = "failures.jsonl";
/** The label of an image that has none. */
export const NO_LABEL = -1;
const MAX_KEY_BYTES = 4096;

/** What is true of every record of a set. */
export interface TokenHeader {
  /** The tokenizer's fingerprint. */
  readonly fingerprint: string;
  /** How the images were prepared, as the tokenizer's manifest says it. */
  readonly preprocessing: JsonValue;
  /** [h, w] */
  readonly grid: readonly [height: number, width: number];
  /** K, at most 65,536: tokens are stored in two bytes. */
  readonly codebookSize: number;
  /** Names of the labels 0 … length−1; empty for a set without labels. */
  readonly classes: readonly string[];
}

export interface TokenRecord {
  /** Unique in the set: the image's path or name. */
  readonly key: string;
  /** Index into the header's classes, or `NO_LABEL`. */
  readonly label: number;
  /** h·w codebook indices 0 … K−1 in raster order. */
  readonly tokens: Int32Array;
}

export interface TokenFailure {
  readonly key: string;
  readonly reason: string;
}

const headerFields = {
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/, "must be a sha256 in hex"),
  preprocessing: z.json(),
  grid: z.tuple([z.int().min(1).max(4096), z.int().min(1).max(4096)]),
  codebookSize: z.int().min(1).max(65_536),
  classes: z.array(z.string()),
};
const headerSchema = z.strictObject(headerFields);
const shardHeaderSchema = z.strictObject({
  format: z.literal("tessera-tokens"),
  formatVersion: z.literal(TOKEN_FORMAT_VERSION),
  dtype: z.literal("u16le"),
  order: z.literal("raster"),
  ...headerFields,
});
const recordSchema = z.strictObject({
  key: z.string(),
  label: z.int().nonnegative().nullable(),
  tokens: z.instanceof(Uint8Array),
  crc32: z.int().nonnegative(),
});
const footerSchema = z.strictObject({
  offsets: z.array(z.int().nonnegative()),
  count: z.int().nonnegative(),
  sha256: z.string(),
});
const indexSchema = z.strictObject({
  formatVersion: z.literal(TOKEN_FORMAT_VERSION),
  header: headerSchema,
  count: z.int().nonnegative(),
  failures: z.int().nonnegative(),
  shards: z.array(
    z.strictObject({
      file: z.string().regex(/^\d{5,}\.tok\.msgpack$/),
      bytes: z.int().nonnegative(),
      count: z.int().nonnegative(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

/** Of one shard: where each record starts, how many there are, and sha256 over all bytes before the footer. */
export type Footer = z.infer<typeof footerSchema>;
export type TokenIndex = z.infer<typeof indexSchema>;
export type ShardEntry = TokenIndex["shards"][number];

export const shardName = (number: number): string => `${String(number).padStart(5, "0")}.tok.msgpack`;
export const SHARD_NAME = /^(\d{5,})\.tok\.msgpack$/;

/** @throws bad-input naming the first field that is wrong. */
export const parseHeader = (header: unknown, where: string): z.infer<typeof headerSchema> =>
  parse(headerSchema, header, where);
export const parseIndex = (index: unknown, where: string): TokenIndex => parse(indexSchema, index, where);

export function encodeHeader(header: TokenHeader): Uint8Array {
  return packObject({
    format: "tessera-tokens",
    formatVersion: TOKEN_FORMAT_VERSION,
    fingerprint: header.fingerprint,
    preprocessing: header.preprocessing,
    grid: header.grid,
    codebookSize: header.codebookSize,
    dtype: "u16le",
    order: "raster",
    classes: header.classes,
  });
}

/** @throws bad-input; mismatch if the file is of a newer format. */
export function decodeHeader(bytes: Uint8Array, where: string): TokenHeader {
  const value = unpack(bytes, where);
  const version = z.looseObject({ format: z.literal("tessera-tokens"), formatVersion: z.int() }).safeParse(value);
  if (version.success && version.data.formatVersion > TOKEN_FORMAT_VERSION) {
    throw mismatch({
      what: "was written by a newer version of Tessera",
      where,
      expected: `token format ${TOKEN_FORMAT_VERSION}`,
      got: String(version.data.formatVersion),
      todo: "Update Tessera.",
    });
  }
  const { fingerprint, preprocessing, grid, codebookSize, classes } = parse(shardHeaderSchema, value, where);
  return { fingerprint, preprocessing, grid, codebookSize, classes };
}

/**
 * @param record tokens of length h·w
 * @throws bad-input if a token is no id of the codebook, a label no class, the length not h·w, or the key unusable.
 */
export function encodeRecord(
  record: { key: string; label?: number; tokens: Int32Array | Uint16Array },
  header: TokenHeader,
): Uint8Array {
  const { key, tokens } = record;
  const label = record.label ?? NO_LABEL;
  checkKey(key);
  checkContents({ key, label, tokens }, header, `image "${key}"`);
  const bytes = Buffer.alloc(2 * tokens.length);
  for (const [i, token] of tokens.entries()) bytes.writeUInt16LE(token, 2 * i);
  return packObject({
    key,
    label: label === NO_LABEL ? null : label,
    tokens: bytes,
    crc32: recordCrc(key, label, bytes),
  });
}

export const encodeFooter = (footer: Footer): Uint8Array => packObject(footer);

/**
 * What follows the header: a record, or the footer (the one with `offsets`).
 * @throws mismatch if a record's crc32 is wrong; bad-input if it is neither, or no record of this header.
 */
export function decodeEntry(bytes: Uint8Array, header: TokenHeader, where: string): TokenRecord | Footer {
  const value = unpack(bytes, where);
  if (typeof value === "object" && value !== null && "offsets" in value) return parse(footerSchema, value, where);
  return checkRecord(parse(recordSchema, value, where), header, where);
}

function checkRecord(value: z.infer<typeof recordSchema>, header: TokenHeader, where: string): TokenRecord {
  const label = value.label ?? NO_LABEL;
  const crc = recordCrc(value.key, label, value.tokens);
  if (crc !== value.crc32) {
    throw mismatch({
      what: `the record of "${value.key}" is damaged`,
      where,
      expected: `crc32 ${value.crc32.toString(16)}`,
      got: crc.toString(16),
    });
  }
  const stored = Buffer.from(value.tokens);
  if (stored.length % 2 !== 0) throw badInput({ what: `the tokens of "${value.key}" end inside a token`, where });
  const tokens = Int32Array.from({ length: stored.length / 2 }, (_, i) => stored.readUInt16LE(2 * i));
  const record = { key: value.key, label, tokens };
  checkContents(record, header, `${where}: "${value.key}"`);
  return record;
}

/** crc32 over the key in UTF-8, the label as int32 (little-endian, −1 for none) and the stored tokens. */
export function recordCrc(key: string, label: number, tokens: Uint8Array): number {
  const head = Buffer.alloc(4);
  head.writeInt32LE(label | 0);
  return crc32(tokens, crc32(head, crc32(key)));
}

export function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes >= 1 && bytes <= MAX_KEY_BYTES && Buffer.from(key).toString() === key) return;
  throw badInput({
    what: "a key must be well-formed text of moderate length",
    where: `image ${JSON.stringify(key.slice(0, 100))}`,
    expected: `1 … ${MAX_KEY_BYTES} bytes of UTF-8`,
    got: `${bytes} bytes`,
    todo: "Rename the image.",
  });
}

function checkContents(
  record: { key: string; label: number; tokens: Int32Array | Uint16Array },
  { grid, codebookSize, classes }: TokenHeader,
  where: string,
): void {
  const { label, tokens } = record;
  if (tokens.length !== grid[0] * grid[1]) {
    const expected = `${grid[0]}×${grid[1]} = ${grid[0] * grid[1]}`;
    throw badInput({ what: "has tokens that do not fill the grid", where, expected, got: String(tokens.length) });
  }
  const wrong = tokens.findIndex((token: number) => !(token >= 0 && token < codebookSize));
  if (wrong !== -1) {
    throw badInput({
      what: `token ${wrong} is not an id of the codebook`,
      where,
      expected: `0 … ${codebookSize - 1}`,
      got: String(tokens[wrong]),
      todo: "Tokens must come from the tokenizer whose fingerprint they carry.",
    });
  }
  if (label !== NO_LABEL && !(Number.isInteger(label) && label >= 0 && label < classes.length)) {
    const expected = classes.length === 0 ? "no label: the header names no classes" : `0 … ${classes.length - 1}`;
    throw badInput({ what: "has a label that is no class of the set", where, expected, got: String(label) });
  }
}

function unpack(bytes: Uint8Array, where: string): unknown {
  try {
    return unpackObject(bytes);
  } catch (cause) {
    throw badInput({ what: "is not msgpack", where, todo: "The file is damaged or no token file.", cause });
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw badInput({
    what: `is not what a token file holds here: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`.replace(
      / +/g,
      " ",
    ),
    where,
    cause: result.error,
  });
}
