/**
 * Reads one tensor of an `.onnx` file into little-endian bytes, whichever of the format's fields holds its elements. Knows no graph.
 * Nothing is allocated before the number of stored elements is known to be the shape's.
 */
import { sizeOf } from "../records.ts";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

import { ONNX_TYPES, typeOfCode } from "./model.ts";
import type { Initializer, OnnxType } from "./model.ts";
import { TensorField } from "./schema.ts";
import type { Wire } from "./wire.ts";

/** @throws bad-input if elements are missing, too many, out of range, or kept outside the file. */
export function decodeTensor(wire: Wire): Initializer {
  let name = "";
  let code = 0;
  let raw: Uint8Array | undefined;
  const shape: number[] = [];
  const floats: Uint8Array[] = [];
  const narrow: Uint8Array[] = [];
  const wide: Uint8Array[] = [];
  for (const field of wire.fields()) {
    if (field === TensorField.dims) wire.intsInto(shape);
    else if (field === TensorField.type) code = wire.int();
    else if (field === TensorField.name) name = wire.string();
    else if (field === TensorField.rawData) raw = wire.bytes();
    else if (field === TensorField.floatData) floats.push(wire.payload(WireType.Bit32));
    else if (field === TensorField.int32Data) narrow.push(wire.payload(WireType.Varint));
    else if (field === TensorField.int64Data) wide.push(wire.payload(WireType.Varint));
    else if (field === TensorField.location) {
      if (wire.int() !== 0) throw wire.refused("data outside the file");
    } else if (field === TensorField.externalData) throw wire.refused("data outside the file");
    else if (field === TensorField.segment) throw wire.refused("a tensor in segments");
    else wire.skip(field);
  }
  const type = typeOfCode(code);
  if (type === undefined) throw wire.refused(`data type ${code}`);
  const negative = shape.find((size) => size < 0);
  if (negative !== undefined) throw wire.damaged(`size ${negative}`);
  const fields = { floats: concat(floats), narrow: concat(narrow), wide: concat(wide) };
  return { name, type, shape, data: elements(wire, { type, shape, raw, ...fields }) };
}

interface Stored {
  readonly type: OnnxType;
  readonly shape: readonly number[];
  readonly raw: Uint8Array | undefined;
  /** Encoded `float_data`, `int32_data`, `int64_data`. */
  readonly floats: Uint8Array;
  readonly narrow: Uint8Array;
  readonly wide: Uint8Array;
}

function elements(wire: Wire, { type, shape, raw, floats, narrow, wide }: Stored): Uint8Array {
  const count = sizeOf(shape);
  const length = count * ONNX_TYPES[type].bytes;
  const typed = type === "float32" ? floats : type === "int64" ? wide : narrow;
  if (floats.byteLength + narrow.byteLength + wide.byteLength !== typed.byteLength) {
    throw wire.damaged(`elements of another type than ${type}`);
  }
  if (raw !== undefined && typed.byteLength > 0) throw wire.damaged("elements stored twice");
  if (raw !== undefined || type === "float32") {
    const data = raw ?? floats;
    if (data.byteLength !== length) {
      throw wire.damaged(`${data.byteLength} bytes for ${type} [${shape.join(", ")}], which takes ${length}`);
    }
    return data;
  }
  let stored = 0;
  for (const byte of typed) if (byte < 0x80) stored++;
  if (stored !== count) throw wire.damaged(`${stored} elements for shape [${shape.join(", ")}]`);
  return unpack(wire, typed, type, new Uint8Array(length));
}

/** Smallest and largest element of each type that is stored as varints. */
const RANGES = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0n, 255n],
  int8: [-128n, 127n],
  bool: [0n, 1n],
} as const satisfies Record<Exclude<OnnxType, "float32">, readonly [bigint, bigint]>;

/** Fills `out` with the varints of `packed`, one element each. */
function unpack(wire: Wire, packed: Uint8Array, type: keyof typeof RANGES, out: Uint8Array): Uint8Array {
  const reader = new BinaryReader(packed);
  const view = new DataView(out.buffer);
  const { bytes } = ONNX_TYPES[type];
  const [low, high] = RANGES[type];
  for (let offset = 0; offset < out.byteLength; offset += bytes) {
    let value: bigint;
    try {
      value = BigInt(reader.int64());
    } catch (cause) {
      throw wire.damaged("an element is no integer", cause);
    }
    if (value < low || value > high) throw wire.damaged(`element ${value.toString()} is no ${type}`);
    if (bytes === 8) view.setBigInt64(offset, value, true);
    else if (bytes === 4) view.setInt32(offset, Number(value), true);
    else view.setUint8(offset, Number(value));
  }
  return out;
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 1 && chunks[0] !== undefined) return chunks[0];
  const result = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let offset = 0;
  for (const chunk of chunks) {
    result.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return result;
}
