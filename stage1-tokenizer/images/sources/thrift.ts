/**
 * Thrift's compact encoding, as far as Parquet's headers use it, read without trust: no length is believed before the bytes are
 * there. Knows no field of any header.
 */

export type ThriftValue = number | Uint8Array | readonly ThriftValue[] | ThriftStruct;
/** Field number → value; truth values are 0 and 1. */
export type ThriftStruct = ReadonlyMap<number, ThriftValue>;

/** Parquet nests five deep. */
const MAX_DEPTH = 16;
const TYPE = { stop: 0, true: 1, false: 2, byte: 3, i16: 4, i32: 5, i64: 6, double: 7, binary: 8, list: 9, struct: 12 };
const LARGEST_I32 = 2 ** 32 - 1;

/** Reads one structure from `bytes` at `start`. @throws Error saying what is wrong, for the caller to put in a sentence. */
export function readThrift(bytes: Uint8Array, start: number): { fields: ThriftStruct; end: number } {
  const reader = new ThriftReader(bytes, start);
  return { fields: reader.struct(0), end: reader.offset };
}

/** A whole number of field `id`; undefined if the field is absent or of another type. */
export function numberField(fields: ThriftStruct | undefined, id: number): number | undefined {
  const value = fields?.get(id);
  return typeof value === "number" ? value : undefined;
}

export function structField(fields: ThriftStruct, id: number): ThriftStruct | undefined {
  const value = fields.get(id);
  return value instanceof Map ? value : undefined;
}

class ThriftReader {
  offset: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, start: number) {
    this.#bytes = bytes;
    this.offset = start;
  }

  struct(depth: number): ThriftStruct {
    if (depth > MAX_DEPTH) throw new Error(`header is nested more than ${MAX_DEPTH} deep`);
    const fields = new Map<number, ThriftValue>();
    let id = 0;
    for (;;) {
      const head = this.#byte();
      const type = head & 15;
      if (type === TYPE.stop) return fields;
      id = head >> 4 === 0 ? this.#zigzag(LARGEST_I32) : id + (head >> 4);
      fields.set(id, this.#value(type, depth));
    }
  }

  #value(type: number, depth: number): ThriftValue {
    switch (type) {
      case TYPE.true:
      case TYPE.false:
        return type === TYPE.true ? 1 : 0;
      case TYPE.byte:
        return this.#byte();
      case TYPE.i16:
      case TYPE.i32:
        return this.#zigzag(LARGEST_I32);
      case TYPE.i64:
        return this.#zigzag(2 ** 64);
      case TYPE.double:
        return this.#take(8);
      case TYPE.binary:
        return this.#take(this.#varint(LARGEST_I32));
      case TYPE.list:
        return this.#list(depth);
      case TYPE.struct:
        return this.struct(depth + 1);
      default:
        throw new Error(`header has a field of unknown type ${type}`);
    }
  }

  #list(depth: number): ThriftValue[] {
    const head = this.#byte();
    const type = head & 15;
    const length = head >> 4 === 15 ? this.#varint(LARGEST_I32) : head >> 4;
    // Whatever an element is, it takes a byte.
    if (length > this.#bytes.length - this.offset) throw new Error(`header ends within a list of ${length}`);
    if (depth > MAX_DEPTH) throw new Error(`header is nested more than ${MAX_DEPTH} deep`);
    const truth = type === TYPE.true || type === TYPE.false;
    return Array.from({ length }, () => this.#value(truth ? TYPE.byte : type, depth + 1));
  }

  /** Exact up to 2⁵³, which is beyond any file. */
  #varint(largest: number): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 63; scale *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (value > largest) break;
      if (byte < 128) return value;
    }
    throw new Error("header has a number out of range");
  }

  #zigzag(largest: number): number {
    const value = this.#varint(largest);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #byte(): number {
    const byte = this.#bytes[this.offset++];
    if (byte === undefined) throw new Error("header is cut off");
    return byte;
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.offset) throw new Error("header is cut off");
    this.offset += length;
    return this.#bytes.subarray(this.offset - length, this.offset);
  }
}
