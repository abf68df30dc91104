/**
 * Plain msgpack objects one after another in a file: packing, and reading one at a time with bounded memory. Knows no tokens.
 *
 * Source: the msgpack specification. Only what other languages read without help is allowed: no extension types.
 */
import { open, type FileHandle } from "node:fs/promises";

import { Packr, Unpackr } from "msgpackr";

/** Larger objects are refused, so that a damaged length cannot ask for memory. */
export const MAX_OBJECT_BYTES = 2 ** 24;
const MAX_DEPTH = 64;
const FIRST_READ = 2 ** 16;

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false });

/** Typed arrays other than Uint8Array would be packed wrongly: hand in bytes. The result is the caller's own. */
export function packObject(value: object): Uint8Array {
  return Uint8Array.from(packr.pack(value));
}

/** `bytes` must be exactly one object, as `ObjectReader` gives it. Binary values in the result are copies. */
export function unpackObject(bytes: Uint8Array): unknown {
  return unpackr.unpack(Uint8Array.from(bytes));
}

export type Frame =
  /** `bytes` is valid until the next call. */
  | { readonly status: "object"; readonly bytes: Uint8Array; readonly offset: number }
  | { readonly status: "end"; readonly offset: number }
  /** The file ends inside the object that starts at `offset`. */
  | { readonly status: "cut"; readonly offset: number }
  /** No object that we write starts at `offset`. */
  | { readonly status: "invalid"; readonly offset: number };

/** Reads a file object by object; holds one object and a read-ahead of at most as much again. */
export class ObjectReader {
  readonly #file: FileHandle;
  #buffer = new Uint8Array(FIRST_READ);
  #start = 0;
  #end = 0;
  #offset = 0;
  #exhausted = false;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(path: string): Promise<ObjectReader> {
    return new ObjectReader(await open(path, "r"));
  }

  /** After anything but an object the reader has nothing more to give. */
  async next(): Promise<Frame> {
    for (;;) {
      const view = this.#buffer.subarray(this.#start, this.#end);
      const offset = this.#offset;
      if (view.length > 0) {
        const length = measureObject(view);
        if (length === "invalid") return { status: "invalid", offset };
        if (length !== "incomplete") {
          this.#start += length;
          this.#offset += length;
          return { status: "object", bytes: view.subarray(0, length), offset };
        }
        if (view.length >= MAX_OBJECT_BYTES) return { status: "invalid", offset };
      }
      if (this.#exhausted) return { status: view.length === 0 ? "end" : "cut", offset };
      await this.#fill();
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #fill(): Promise<void> {
    const kept = this.#buffer.subarray(this.#start, this.#end);
    if (kept.length * 2 > this.#buffer.length) {
      const larger = new Uint8Array(this.#buffer.length * 2);
      larger.set(kept);
      this.#buffer = larger;
    } else {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    }
    this.#end = kept.length;
    this.#start = 0;
    const { bytesRead } = await this.#file.read(this.#buffer, this.#end, this.#buffer.length - this.#end);
    this.#end += bytesRead;
    this.#exhausted = bytesRead === 0;
  }
}

/**
 * Length in bytes of the object at the start of `bytes`. "incomplete" if it goes on after their end, "invalid" if it has an
 * extension or reserved type, nests too deep, or says it is larger than allowed.
 */
export function measureObject(bytes: Uint8Array): number | "incomplete" | "invalid" {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Values still to come at each open level. */
  const open = [1];
  let at = 0;
  for (let left = open.at(-1); left !== undefined; left = open.at(-1)) {
    if (left === 0) {
      open.pop();
      continue;
    }
    open[open.length - 1] = left - 1;
    const shape = measureHead(view, at);
    if (typeof shape === "string") return shape;
    at += shape.bytes;
    if (at > MAX_OBJECT_BYTES || shape.values > MAX_OBJECT_BYTES || open.length > MAX_DEPTH) return "invalid";
    if (at > bytes.length) return "incomplete";
    if (shape.values > 0) open.push(shape.values);
  }
  return at;
}

interface Head {
  /** Head and own payload. */
  readonly bytes: number;
  /** Values that follow inside it. */
  readonly values: number;
}

/** Payload of the types 0xc0 … 0xdf: a fixed size, or the width of a length field and what it counts. */
const FIXED: Readonly<Record<number, number>> = {
  0xc0: 0,
  0xc2: 0,
  0xc3: 0,
  0xca: 4,
  0xcb: 8,
  0xcc: 1,
  0xcd: 2,
  0xce: 4,
  0xcf: 8,
  0xd0: 1,
  0xd1: 2,
  0xd2: 4,
  0xd3: 8,
};
const COUNTED: Readonly<Record<number, { width: 1 | 2 | 4; of: "bytes" | "values" | "pairs" }>> = {
  0xc4: { width: 1, of: "bytes" },
  0xc5: { width: 2, of: "bytes" },
  0xc6: { width: 4, of: "bytes" },
  0xd9: { width: 1, of: "bytes" },
  0xda: { width: 2, of: "bytes" },
  0xdb: { width: 4, of: "bytes" },
  0xdc: { width: 2, of: "values" },
  0xdd: { width: 4, of: "values" },
  0xde: { width: 2, of: "pairs" },
  0xdf: { width: 4, of: "pairs" },
};

function measureHead(view: DataView, at: number): Head | "incomplete" | "invalid" {
  if (at >= view.byteLength) return "incomplete";
  const type = view.getUint8(at);
  if (type <= 0x7f || type >= 0xe0) return { bytes: 1, values: 0 };
  if (type <= 0x8f) return { bytes: 1, values: 2 * (type & 0x0f) };
  if (type <= 0x9f) return { bytes: 1, values: type & 0x0f };
  if (type <= 0xbf) return { bytes: 1 + (type & 0x1f), values: 0 };
  const fixed = FIXED[type];
  if (fixed !== undefined) return { bytes: 1 + fixed, values: 0 };
  const counted = COUNTED[type];
  if (counted === undefined) return "invalid";
  const { width, of } = counted;
  if (at + 1 + width > view.byteLength) return "incomplete";
  const count = width === 1 ? view.getUint8(at + 1) : width === 2 ? view.getUint16(at + 1) : view.getUint32(at + 1);
  if (of === "bytes") return { bytes: 1 + width + count, values: 0 };
  return { bytes: 1 + width, values: of === "pairs" ? 2 * count : count };
}
