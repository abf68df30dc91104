import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { decodeSafetensors, encodeSafetensors, type SafeTensor } from "../../../shared/train/safetensors.ts";

/** A file with this header text and so many payload bytes. */
function fileOf(header: string, payload: number, length = header.length): Uint8Array {
  const bytes = new Uint8Array(8 + header.length + payload);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(new TextEncoder().encode(header), 8);
  return bytes;
}

const tensor = (offsets: number[], more: object = {}): string =>
  JSON.stringify({ dtype: "U8", shape: [4], data_offsets: offsets, ...more });

describe("safetensors", () => {
  const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });
  const anyTensor = fc
    .tuple(shape, fc.constantFrom("F32", "I32", "I64", "U8"), fc.integer())
    .map(([dims, dtype, seed]) => {
      const data = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => (seed + i) % 200);
      switch (dtype) {
        case "F32":
          return { dtype, shape: dims, data: Float32Array.from(data, (x) => x / 3) } satisfies SafeTensor;
        case "I32":
          return { dtype, shape: dims, data: Int32Array.from(data) } satisfies SafeTensor;
        case "I64":
          return { dtype, shape: dims, data: BigInt64Array.from(data, BigInt) } satisfies SafeTensor;
        default:
          return { dtype: "U8" as const, shape: dims, data: Uint8Array.from(data) } satisfies SafeTensor;
      }
    });
  const name = fc.string({ minLength: 1, maxLength: 8 }).filter((text) => text !== "__metadata__");

  test("decoding gives back what was encoded, at any alignment", () => {
    fc.assert(
      fc.property(fc.dictionary(name, anyTensor), fc.dictionary(name, fc.string()), (tensors, metadata) => {
        const bytes = encodeSafetensors(tensors, metadata);
        const shifted = new Uint8Array(bytes.length + 3);
        shifted.set(bytes, 3);
        const back = decodeSafetensors(shifted.subarray(3), "test");
        expect({ ...back.tensors }).toEqual({ ...tensors });
        expect({ ...back.metadata }).toEqual({ ...metadata });
      }),
    );
  });

  test("the header ends on 8 bytes and the order of the record does not matter", () => {
    const a = { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) } as const;
    const b = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
    const bytes = encodeSafetensors({ a, b });
    expect(bytes).toEqual(encodeSafetensors({ b, a }));
    expect(new DataView(bytes.buffer).getBigUint64(0, true) % 8n).toBe(0n);
    expect([...bytes.slice(-3)]).toEqual([1, 2, 3]);
  });

  test("every cut is refused", () => {
    const bytes = encodeSafetensors({ w: { dtype: "F32", shape: [2, 2], data: new Float32Array(4) } }, { step: "1" });
    for (let end = 0; end < bytes.length; end++) {
      expect(() => decodeSafetensors(bytes.subarray(0, end), "test")).toThrow(
        expect.objectContaining({ exitCode: 3 }) as Error,
      );
    }
  });

  test.each([
    ["a header length beyond the file", fileOf("{}", 0, 3)],
    ["a huge header length", fileOf("{}", 0, 2 ** 52)],
    ["no JSON", fileOf("{]", 0)],
    ["an array as header", fileOf("[]", 0)],
    ["an unknown dtype", fileOf(`{"a":${tensor([0, 4], { dtype: "F8" })}}`, 4)],
    ["a size that is not the shape's", fileOf(`{"a":${tensor([0, 3])}}`, 3)],
    ["a negative shape", fileOf(`{"a":${tensor([0, 4], { shape: [-4] })}}`, 4)],
    ["a shape whose product overflows", fileOf(`{"a":${tensor([0, 4], { shape: [2 ** 40, 2 ** 40] })}}`, 4)],
    ["data outside the file", fileOf(`{"a":${tensor([0, 4])}}`, 3)],
    ["overlapping tensors", fileOf(`{"a":${tensor([0, 4])},"b":${tensor([2, 6])}}`, 6)],
    ["a gap", fileOf(`{"a":${tensor([0, 4])},"b":${tensor([5, 9])}}`, 9)],
    ["data of no tensor", fileOf(`{"a":${tensor([0, 4])}}`, 5)],
    ["an unknown field", fileOf(`{"a":${tensor([0, 4], { more: 1 })}}`, 4)],
    ["metadata that is no text", fileOf(`{"__metadata__":{"a":1}}`, 0)],
  ])("%s is refused", (_what, bytes) => {
    expect(() => decodeSafetensors(bytes, "test")).toThrow(expect.objectContaining({ exitCode: 3 }) as Error);
  });
});
