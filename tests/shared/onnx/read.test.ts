import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { TesseraError } from "../../../shared/errors.ts";
import { decodeModel } from "../../../shared/onnx/read.ts";
import { AttributeField, GraphField, ModelField, NodeField, TensorField } from "../../../shared/onnx/schema.ts";
import { encodeModel } from "../../../shared/onnx/write.ts";
import { bytesOf, CACHE, LINEAR } from "./models.ts";

type Fill = (writer: BinaryWriter) => void;

function child(writer: BinaryWriter, field: number, fill: Fill): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  fill(writer);
  writer.join();
}

const varint = (writer: BinaryWriter, field: number, value: number): unknown =>
  writer.tag(field, WireType.Varint).int64(value);

/** A model whose graph is what `fill` writes. */
function modelWith(fill: Fill): Uint8Array {
  const writer = new BinaryWriter();
  varint(writer, ModelField.irVersion, 8);
  child(writer, ModelField.opset, (opset) => varint(opset, 2, 17));
  child(writer, ModelField.graph, fill);
  return writer.finish();
}

/** A model of one initializer with the dims [3], an element type and whatever `fill` adds. */
function tensorWith(type: number, fill: Fill, dims: readonly number[] = [3]): Uint8Array {
  return modelWith((graph) => {
    child(graph, GraphField.initializer, (tensor) => {
      for (const size of dims) varint(tensor, TensorField.dims, size);
      varint(tensor, TensorField.type, type);
      fill(tensor);
    });
  });
}

const decodedTensor = (bytes: Uint8Array): Uint8Array | undefined => decodeModel(bytes, "m.onnx").initializers[0]?.data;

/** A model, or the one kind of error that damage may cause. */
function decodesOrRefuses(bytes: Uint8Array): void {
  let model;
  try {
    model = decodeModel(bytes, "m.onnx");
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    expect(error.code).toBe("bad-input");
    expect(error.message).toContain("m.onnx");
    return;
  }
  const again = encodeModel(model);
  expect(encodeModel(decodeModel(again, "again.onnx"))).toEqual(again);
}

describe("elements in typed fields", () => {
  test("float_data, packed and one by one", () => {
    const expected = bytesOf(Float32Array.of(1, -2, 0.5));
    const packed = tensorWith(1, (t) => t.tag(TensorField.floatData, WireType.LengthDelimited).bytes(expected));
    const single = tensorWith(1, (t) => {
      for (const value of [1, -2, 0.5]) t.tag(TensorField.floatData, WireType.Bit32).float(value);
    });
    expect(decodedTensor(packed)).toEqual(expected);
    expect(decodedTensor(single)).toEqual(expected);
  });

  test.each([
    ["int32", 6, TensorField.int32Data, [1, -2, 2 ** 31 - 1], bytesOf(Int32Array.of(1, -2, 2 ** 31 - 1))],
    ["int64", 7, TensorField.int64Data, [1, -2, 2 ** 40], bytesOf(BigInt64Array.of(1n, -2n, 2n ** 40n))],
    ["uint8", 2, TensorField.int32Data, [0, 7, 255], Uint8Array.of(0, 7, 255)],
    ["int8", 3, TensorField.int32Data, [-128, 0, 127], Uint8Array.of(128, 0, 127)],
    ["bool", 9, TensorField.int32Data, [0, 1, 1], Uint8Array.of(0, 1, 1)],
  ] as const)("%s as varints, packed and one by one", (_, type, field, values, expected) => {
    const packed = tensorWith(type, (t) => {
      child(t, field, (list) => {
        for (const value of values) list.int64(value);
      });
    });
    const single = tensorWith(type, (t) => {
      for (const value of values) varint(t, field, value);
    });
    expect(decodedTensor(packed)).toEqual(expected);
    expect(decodedTensor(single)).toEqual(expected);
  });

  test("no field at all is a tensor without elements", () => {
    expect(decodedTensor(tensorWith(1, () => undefined, [0, 4]))).toEqual(new Uint8Array());
  });
});

const raw =
  (length: number): Fill =>
  (t) =>
    t.tag(TensorField.rawData, WireType.LengthDelimited).bytes(new Uint8Array(length));

describe("refused", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["no bytes", new Uint8Array(), /no IR version/],
    ["text", new TextEncoder().encode("<html>not found</html>"), /damaged or not one/],
    ["raw data too short", tensorWith(1, raw(8)), /8 bytes for float32 \[3\], which takes 12/],
    ["raw data too long", tensorWith(1, raw(16)), /16 bytes/],
    ["sizes that overflow", tensorWith(1, raw(8), [2 ** 50, 2 ** 50, 0.5 * 2 ** 50]), /which takes/],
    ["sizes that promise petabytes", tensorWith(6, () => undefined, [2 ** 50]), /0 elements for shape/],
    ["a negative size", tensorWith(1, raw(0), [-1]), /size -1/],
    ["elements twice", tensorWith(6, (t) => (raw(12)(t), varint(t, TensorField.int32Data, 1))), /stored twice/],
    ["floats in an int tensor", tensorWith(6, (t) => t.tag(4, WireType.Bit32).float(1)), /another type than int32/],
    ["a uint8 of 256", tensorWith(2, (t) => varint(t, TensorField.int32Data, 256), [1]), /256 is no uint8/],
    ["float64", tensorWith(11, raw(24)), /data type 11/],
    ["external data", tensorWith(1, (t) => varint(t, TensorField.location, 1)), /outside the file/],
    ["an external path", tensorWith(1, (t) => child(t, TensorField.externalData, () => undefined)), /outside the file/],
    ["a node without operator", modelWith((g) => child(g, GraphField.node, () => undefined)), /no operator/],
    [
      "a sub-graph",
      modelWith((g) =>
        child(g, GraphField.node, (n) => {
          n.tag(NodeField.op, WireType.LengthDelimited).string("If");
          child(n, NodeField.attribute, (a) => {
            a.tag(AttributeField.name, WireType.LengthDelimited).string("then_branch");
            varint(a, AttributeField.kind, 5);
          });
        }),
      ),
      /attribute type 5/,
    ],
  ])("%s", (_, bytes, message) => {
    expect(() => decodeModel(bytes, "m.onnx")).toThrow(message);
    decodesOrRefuses(bytes);
  });

  test("two graphs", () => {
    const bytes = encodeModel(LINEAR);
    expect(() => decodeModel(Buffer.concat([bytes, bytes]), "m.onnx")).toThrow(/occurs twice|two graphs/);
  });

  test("a small file that unfolds into half a million nodes", () => {
    const nodes = Buffer.alloc(6 * 500_001, Buffer.from([0x0a, 4, 0x22, 2, 0x41, 0x62]));
    const bytes = modelWith((graph) => graph.raw(nodes));
    expect(() => decodeModel(bytes, "m.onnx")).toThrow(/more fields/);
  });
});

test("unknown fields of every wire type are passed over", () => {
  const bytes = modelWith((graph) => {
    graph.tag(100, WireType.Varint).int64(7).tag(101, WireType.Bit64).double(1).tag(102, WireType.Bit32).float(1);
    graph.tag(103, WireType.LengthDelimited).string("later").tag(104, WireType.StartGroup).tag(104, WireType.EndGroup);
    graph.tag(GraphField.name, WireType.LengthDelimited).string("kept");
  });
  expect(decodeModel(bytes, "m.onnx").name).toBe("kept");
});

test("every truncation is refused, but for whole trailing fields", () => {
  const bytes = encodeModel(LINEAR);
  for (let length = 0; length < bytes.byteLength; length++) decodesOrRefuses(bytes.subarray(0, length));
  const graphless = encodeModel({ ...LINEAR, metadata: {} });
  for (let length = 0; length < graphless.byteLength; length++) {
    expect(() => decodeModel(graphless.subarray(0, length), "m.onnx")).toThrow(TesseraError);
  }
});

test("random bytes give a model or a bad-input error", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), decodesOrRefuses), { numRuns: 2_000 });
});

test("damaged models give a model or a bad-input error", () => {
  const originals = [encodeModel(LINEAR), encodeModel(CACHE)];
  const edit = fc.record({ at: fc.nat(), remove: fc.nat({ max: 4 }), insert: fc.uint8Array({ maxLength: 4 }) });
  fc.assert(
    fc.property(fc.constantFrom(...originals), fc.array(edit, { minLength: 1, maxLength: 4 }), (original, edits) => {
      const bytes = [...original];
      for (const { at, remove, insert } of edits) bytes.splice(at % bytes.length, remove, ...insert);
      decodesOrRefuses(Uint8Array.from(bytes));
    }),
    { numRuns: 3_000 },
  );
});
