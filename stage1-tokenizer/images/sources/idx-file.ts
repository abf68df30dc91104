/**
 * One IDX file: an array of bytes behind a header with its dimensions, plain or in gzip. Knows nothing of images and labels. A
 * plain file stays on disk; a compressed one is unpacked into memory as a whole, since nothing in it can be found otherwise.
 */
import { createReadStream } from "node:fs";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { badInput, TesseraError } from "../../../shared/errors.ts";
import { openRangedFile, type RangedFile } from "./ranged-file.ts";

/** Larger data must be plain: MNIST has 47 MB, the largest part of EMNIST 547. */
const MAX_UNPACKED = 2 ** 30;
/** Deflate makes no byte out of less than 1/1032 bytes: a header that promises more lies. */
const DEFLATE_RATIO = 1032;
const UNSIGNED_BYTE = 0x08;

export interface IdxFile {
  readonly path: string;
  /** As many as were asked for. */
  readonly dimensions: readonly number[];
  /** `length` bytes of the array from `start`, counted without the header. @throws bad-input if the file changed. */
  read(start: number, length: number): Promise<Uint8Array>;
}

export interface IdxExpectation {
  /** For errors: "IDX images". */
  readonly what: string;
  /** Number of dimensions. */
  readonly rank: 1 | 3;
  /** Throws what is wrong with the dimensions; called before the array is read. */
  readonly check: (dimensions: readonly number[]) => void;
}

/** @throws bad-input if the header is not that of `rank`-dimensional bytes, or the file is shorter or longer than it says. */
export async function openIdxFile(path: string, expected: IdxExpectation): Promise<IdxFile> {
  const file = await openRangedFile(path, expected.what);
  const magic = await file.read(0, Math.min(2, file.size));
  const inGzip = magic[0] === 0x1f && magic[1] === 0x8b; // IDX begins with two zeros
  return inGzip ? unpack(file, expected) : openPlain(file, expected);
}

async function openPlain(file: RangedFile, expected: IdxExpectation): Promise<IdxFile> {
  const offset = headerBytes(expected);
  const dimensions = parseHeader(await file.read(0, Math.min(offset, file.size)), file.path, expected);
  const size = offset + product(dimensions);
  if (file.size !== size) throw wrongLength(file.path, expected, size, String(file.size));
  return { path: file.path, dimensions, read: (start, length) => file.read(offset + start, length) };
}

async function unpack(file: RangedFile, expected: IdxExpectation): Promise<IdxFile> {
  const { path } = file;
  const unpacked = new Unpacked(file, expected);
  const collect = new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        unpacked.add(chunk);
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
  try {
    await pipeline(createReadStream(path), createGunzip(), collect);
  } catch (cause) {
    if (cause instanceof TesseraError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw badInput({ what: `${expected.what} cannot be unpacked: ${reason}`, where: path, cause });
  }
  const { dimensions, array } = unpacked.finish();
  return { path, dimensions, read: (start, length) => Promise.resolve(array.slice(start, start + length)) };
}

/** Takes the unpacked bytes as they come: first the header, then an array of the size it says and not a byte more. */
class Unpacked {
  readonly #file: RangedFile;
  readonly #expected: IdxExpectation;
  readonly #header: Uint8Array;
  #dimensions: readonly number[] = [];
  #array = new Uint8Array(0);
  #seen = 0;

  constructor(file: RangedFile, expected: IdxExpectation) {
    this.#file = file;
    this.#expected = expected;
    this.#header = new Uint8Array(headerBytes(expected));
  }

  add(chunk: Uint8Array): void {
    const ofHeader = chunk.subarray(0, Math.max(0, this.#header.length - this.#seen));
    this.#header.set(ofHeader, Math.min(this.#seen, this.#header.length - ofHeader.length));
    const before = this.#seen;
    this.#seen += chunk.length;
    if (ofHeader.length > 0 && this.#seen >= this.#header.length) this.#begin();
    const rest = chunk.subarray(ofHeader.length);
    if (rest.length === 0) return;
    if (this.#seen > this.#header.length + this.#array.length) throw this.#wrongLength(`${this.#seen} or more`);
    this.#array.set(rest, before + ofHeader.length - this.#header.length);
  }

  finish(): { dimensions: readonly number[]; array: Uint8Array } {
    if (this.#dimensions.length === 0) {
      parseHeader(this.#header.subarray(0, this.#seen), this.#file.path, this.#expected); // says what is missing
    }
    if (this.#seen < this.#header.length + this.#array.length) throw this.#wrongLength(String(this.#seen));
    return { dimensions: this.#dimensions, array: this.#array };
  }

  #begin(): void {
    const { path, size } = this.#file;
    this.#dimensions = parseHeader(this.#header, path, this.#expected);
    const length = product(this.#dimensions);
    if (length > MAX_UNPACKED) {
      throw badInput({
        what: `${this.#expected.what} are too many to unpack into memory`,
        where: path,
        expected: `at most ${MAX_UNPACKED} bytes`,
        got: String(length),
        todo: "Unpack the file first; plain files have no limit",
      });
    }
    if (length > size * DEFLATE_RATIO) {
      throw wrongLength(path, this.#expected, this.#header.length + length, `a gzip file of ${size} bytes`);
    }
    this.#array = new Uint8Array(length);
  }

  #wrongLength(got: string): TesseraError {
    return wrongLength(this.#file.path, this.#expected, this.#header.length + this.#array.length, got);
  }
}

/** Two zeros, the type of the elements, the number of dimensions, and each dimension as 32 bits, big-endian. */
const headerBytes = ({ rank }: IdxExpectation): number => 4 + 4 * rank;

function parseHeader(header: Uint8Array, where: string, expected: IdxExpectation): number[] {
  const { what, rank, check } = expected;
  const magic = [0, 0, UNSIGNED_BYTE, rank];
  if (header.length < 4 || magic.some((byte, i) => header[i] !== byte)) {
    throw badInput({
      what: `file does not begin as ${what} do: ${differenceOf(header, rank)}`,
      where,
      expected: hex(magic),
      got: hex(header.subarray(0, 4)) || "nothing",
    });
  }
  if (header.length < headerBytes(expected)) {
    throw wrongLength(where, expected, headerBytes(expected), String(header.length));
  }
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const dimensions = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  check(dimensions);
  return dimensions;
}

function differenceOf(header: Uint8Array, rank: number): string {
  const [zero, alsoZero, type, dimensions] = header;
  if (dimensions === undefined || zero !== 0 || alsoZero !== 0) return "it is no IDX file";
  if (type !== UNSIGNED_BYTE) return "its elements are no unsigned bytes";
  return `it has ${dimensions} dimensions instead of ${rank}`;
}

const hex = (bytes: Iterable<number>): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** Exact up to 2⁵³, and beyond that larger than any file. */
const product = (dimensions: readonly number[]): number => dimensions.reduce((all, one) => all * one, 1);

const wrongLength = (where: string, { what }: IdxExpectation, expected: number, got: string): TesseraError =>
  badInput({ what: `${what} are not as long as their header says`, where, expected: `${expected} bytes`, got });
