/**
 * Reads one protobuf message field by field from bytes that nobody vouches for: each read is bounded by the message and checked
 * against the wire type, and all messages of a file share one budget of fields. Knows protobuf, not ONNX.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

import { badInput } from "../errors.ts";
import type { TesseraError } from "../errors.ts";

/** What all messages of one file share. */
export interface WireContext {
  /** The file, for error sentences. */
  readonly where: string;
  /** Fields and packed numbers that may still be read: a small file must not become a huge structure. */
  budget: number;
}

export class Wire {
  readonly #reader: BinaryReader;
  readonly #context: WireContext;
  readonly #message: string;
  #type: WireType = WireType.Varint;

  /** @param message what is being read, for error sentences: "node". */
  constructor(bytes: Uint8Array, message: string, context: WireContext) {
    this.#reader = new BinaryReader(bytes);
    this.#message = message;
    this.#context = context;
  }

  /** Field numbers in file order; the loop's body must read each field with exactly one of the methods below. */
  *fields(): Generator<number, void, undefined> {
    while (this.#reader.pos < this.#reader.len) {
      this.#spend();
      const [field, type] = this.#guard(() => this.#reader.tag());
      this.#type = type;
      yield field;
    }
  }

  /** A varint as a safe integer. */
  int(): number {
    this.#expect(WireType.Varint);
    return this.#safeInt();
  }

  float(): number {
    this.#expect(WireType.Bit32);
    return this.#guard(() => this.#reader.float());
  }

  /** UTF-8; anything else is damage. */
  string(): string {
    this.#expect(WireType.LengthDelimited);
    return this.#guard(() => this.#reader.string(true));
  }

  /** A view into the file. */
  bytes(): Uint8Array {
    this.#expect(WireType.LengthDelimited);
    return this.#guard(() => this.#reader.bytes());
  }

  child(message: string): Wire {
    return new Wire(this.bytes(), message, this.#context);
  }

  /** Appends a repeated integer, packed or not. */
  intsInto(values: number[]): void {
    if (this.#type !== WireType.LengthDelimited) {
      values.push(this.int());
      return;
    }
    const packed = this.child(this.#message);
    while (packed.#reader.pos < packed.#reader.len) {
      packed.#spend();
      values.push(packed.#safeInt());
    }
  }

  /** Appends a repeated float, packed or not. */
  floatsInto(values: number[]): void {
    const payload = this.payload(WireType.Bit32);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (payload.byteLength % 4 !== 0) throw this.damaged("a packed list of floats is cut off");
    for (let offset = 0; offset < payload.byteLength; offset += 4) {
      this.#spend();
      values.push(view.getFloat32(offset, true));
    }
  }

  /** The encoded elements of a repeated scalar, packed or one of them alone: a view into the file. */
  payload(element: WireType.Varint | WireType.Bit32): Uint8Array {
    if (this.#type === WireType.LengthDelimited) return this.bytes();
    this.#expect(element);
    return this.#guard(() => this.#reader.skip(element));
  }

  /** Passes over a field that we do not know. */
  skip(field: number): void {
    this.#guard(() => this.#reader.skip(this.#type, field));
  }

  damaged(what: string, cause?: unknown): TesseraError {
    return badInput({
      what: `the ONNX file is damaged or not one: ${this.#message}: ${what}`,
      where: this.#context.where,
      todo: "Restore it or export the model again",
      cause,
    });
  }

  refused(what: string): TesseraError {
    return badInput({
      what: `the ONNX file uses what Tessera does not read: ${this.#message}: ${what}`,
      where: this.#context.where,
      todo: "Export the model without it",
    });
  }

  #safeInt(): number {
    const value = Number(this.#guard(() => this.#reader.int64()));
    if (!Number.isSafeInteger(value)) throw this.damaged(`a number is beyond 2^53: ${value}`);
    return value;
  }

  #expect(type: WireType): void {
    if (this.#type !== type) throw this.damaged(`a field has wire type ${this.#type} where ${type} belongs`);
  }

  #spend(): void {
    if (--this.#context.budget < 0) throw this.refused("more fields than any model needs");
  }

  #guard<T>(read: () => T): T {
    try {
      return read();
    } catch (cause) {
      throw this.damaged(cause instanceof Error ? cause.message : "unreadable", cause);
    }
  }
}
