/**
 * The 512-byte headers of tar archives (ustar, pax, GNU, V7) and pax records, as pure functions of their bytes. Knows no file and no
 * order of headers. Every refusal says where in the archive it is.
 */
import { badInput, type TesseraError } from "../../../shared/errors.ts";

export const BLOCK = 512;

export interface TarHeader {
  /** As written: `tar.ts` checks it, after the headers that may replace it. */
  readonly name: string;
  readonly linkTarget: string;
  /** One character: "0" a file, "5" a folder, "x" a pax header, … */
  readonly type: string;
  /** Bytes of data behind the header, before padding. */
  readonly size: number;
}

/** What a pax header says about the members it stands before. Empty values withdraw an earlier one. */
export interface PaxRecords {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: string;
  readonly sparse?: true;
}

const FIELDS = {
  name: [0, 100],
  size: [124, 12],
  checksum: [148, 8],
  linkTarget: [157, 100],
  prefix: [345, 155],
} as const;
const TYPE_AT = 156;
const MAGIC_AT = 257;
/** GNU writes "ustar " and keeps times where POSIX has the prefix. */
const POSIX_MAGIC = "ustar\0";

/** Whole files in these formats are met where a tar is expected. */
const OTHER_FORMATS: readonly (readonly [magic: string, format: string])[] = [
  ["\x1f\x8b", "gzip"],
  ["\x28\xb5\x2f\xfd", "zstd"],
  ["\xfd7zXZ\0", "xz"],
  ["BZh", "bzip2"],
  ["PK\x03\x04", "zip"],
];

/**
 * @param where names the archive and the header's place in errors.
 * @throws bad-input if the checksum is wrong or the size is no number.
 */
export function parseTarHeader(block: Uint8Array, where: string): TarHeader {
  if (!hasItsChecksum(block)) throw wrongChecksum(where);
  const short = text(field(block, FIELDS.name));
  const prefix =
    latin1(block.subarray(MAGIC_AT, MAGIC_AT + 6)) === POSIX_MAGIC ? text(field(block, FIELDS.prefix)) : "";
  return {
    name: prefix === "" ? short : `${prefix}/${short}`,
    linkTarget: text(field(block, FIELDS.linkTarget)),
    type: String.fromCharCode(block[TYPE_AT] || 0x30), // V7 wrote NUL for a file
    size: parseNumber(field(block, FIELDS.size), where),
  };
}

/** The format a file is in whose first bytes are no tar's: "gzip", "zip", …; undefined if it is none of the known. */
export function otherFormat(start: Uint8Array): string | undefined {
  return OTHER_FORMATS.find(([magic]) => latin1(start.subarray(0, magic.length)) === magic)?.[1];
}

/** Records are "length key=value\n", the length in bytes and including itself. @throws bad-input if one is not. */
export function parsePax(bytes: Uint8Array, where: string): PaxRecords {
  const records: Record<string, string> = {};
  let sparse = false;
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const digits = latin1(bytes.subarray(at, space < 0 || space > at + 8 ? at : space));
    const end = at + Number(digits);
    const equals = bytes.indexOf(0x3d, space);
    if (!/^\d+$/.test(digits) || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw badInput({
        what: `pax header has a malformed record at its byte ${at}`,
        where,
        expected: "length key=value",
      });
    }
    const key = latin1(bytes.subarray(space + 1, equals));
    sparse ||= key.startsWith("GNU.sparse.");
    if (key === "path" || key === "linkpath" || key === "size")
      records[key] = decode(bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return sparse ? { ...records, sparse } : records;
}

/** The size a pax record gives. @throws bad-input if it is no whole number. */
export function parsePaxSize(value: string, where: string): number {
  const size = Number(value);
  if (/^\d+$/.test(value) && Number.isSafeInteger(size)) return size;
  throw noSize(where, value);
}

/** Bytes up to the first NUL, as a name. */
export function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function field(block: Uint8Array, [start, length]: readonly [number, number]): Uint8Array {
  return block.subarray(start, start + length);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8, or where it is none Latin-1, so that names in an older encoding still differ. */
function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return latin1(bytes);
  }
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

/** The sum of the header's bytes with blanks for the checksum itself; some writers summed signed bytes. */
function hasItsChecksum(block: Uint8Array): boolean {
  const [start, length] = FIELDS.checksum;
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const counted = i >= start && i < start + length ? 0x20 : (block[i] ?? 0);
    unsigned += counted;
    signed += counted > 127 ? counted - 256 : counted;
  }
  const stored = octal(field(block, FIELDS.checksum));
  return stored === unsigned || stored === signed;
}

/** Octal digits between blanks and NULs; undefined if other characters are among them. */
function octal(bytes: Uint8Array): number | undefined {
  const digits = /^[ \0]*([0-7]*)(?:[ \0]|$)/.exec(latin1(bytes))?.[1];
  return digits === undefined ? undefined : Number.parseInt(`0${digits}`, 8);
}

/** Octal, or big-endian binary behind a first byte of 0x80 (GNU, for 8 GiB and more). */
function parseNumber(bytes: Uint8Array, where: string): number {
  const first = bytes[0] ?? 0;
  const value = first < 0x80 ? octal(bytes) : first === 0x80 ? base256(bytes.subarray(1)) : undefined;
  if (value !== undefined && Number.isSafeInteger(value)) return value;
  throw noSize(where, JSON.stringify(latin1(bytes)));
}

const base256 = (bytes: Uint8Array): number => bytes.reduce((value, byte) => value * 256 + byte, 0);

function noSize(where: string, got: string): TesseraError {
  return badInput({ what: "size of a member is malformed", where, expected: "a whole number of bytes", got });
}

function wrongChecksum(where: string): TesseraError {
  return badInput({
    what: "tar header is damaged, or there is none",
    where,
    expected: "a header with its checksum",
    got: "another sum",
    todo: "Fetch or pack the archive anew",
  });
}
