/** Small models, and arbitrary ones, for the tests of shared/onnx. Knows no runtime. */
import { sizeOf } from "../../../shared/records.ts";
import { spawnSync } from "node:child_process";

import fc from "fast-check";

import { ONNX_TYPES } from "../../../shared/onnx/model.ts";
import type { Attribute, Initializer, OnnxModel, OnnxNode, OnnxType, ValueInfo } from "../../../shared/onnx/model.ts";

/** The bytes of a typed array, as an initializer holds them. */
export function bytesOf(values: Float32Array | Int32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** y [N, 2] = x [N, 3] · w [3, 2] + b [2], with N free. */
export const LINEAR: OnnxModel = {
  name: "linear",
  irVersion: 8,
  opsets: { "": 17 },
  producer: "tessera",
  doc: "y = x·w + b",
  metadata: { kind: "test", größe: "klein" },
  inputs: [{ name: "x", type: "float32", shape: ["N", 3] }],
  outputs: [{ name: "y", type: "float32", shape: ["N", 2] }],
  initializers: [
    { name: "w", type: "float32", shape: [3, 2], data: bytesOf(Float32Array.of(1, 2, 3, 4, 5, 6)) },
    { name: "b", type: "float32", shape: [2], data: bytesOf(Float32Array.of(0.5, -0.5)) },
  ],
  nodes: [
    {
      op: "Gemm",
      name: "gemm",
      inputs: ["x", "w", "b"],
      outputs: ["y"],
      attributes: { alpha: { kind: "float", value: 1 }, transB: { kind: "int", value: 0 } },
    },
  ],
};

/** A key-value cache in small: all = past ++ new along axis 1, past [N, P, 2], P may be 0. */
export const CACHE: OnnxModel = {
  name: "cache",
  irVersion: 8,
  opsets: { "": 17 },
  producer: "tessera",
  inputs: [
    { name: "past", type: "float32", shape: ["N", "P", 2] },
    { name: "new", type: "float32", shape: ["N", 1, 2] },
  ],
  outputs: [{ name: "all", type: "float32", shape: ["N", "T", 2] }],
  initializers: [],
  nodes: [
    {
      op: "Concat",
      name: "c",
      inputs: ["past", "new"],
      outputs: ["all"],
      attributes: { axis: { kind: "int", value: 1 } },
    },
  ],
};

/** The same graph with a product of uint8 by int8 beside it, of which nothing becomes. */
export function withInt8Product(model: OnnxModel): OnnxModel {
  const own = (name: string, of: "uint8" | "int8"): OnnxNode => ({
    ...{ op: "Constant", name, inputs: [], outputs: [name] },
    attributes: {
      value: { kind: "tensor", value: { type: of, shape: [16, 16], data: new Uint8Array(256).fill(127) } },
    },
  });
  const product = { op: "MatMulInteger", name: "bytes", inputs: ["levels8", "weights8"], outputs: ["products8"] };
  return { ...model, nodes: [...model.nodes, own("levels8", "uint8"), own("weights8", "int8"), product] };
}

const text = fc.string({ unit: "binary", maxLength: 6 });
const type = fc.constantFrom(...(Object.keys(ONNX_TYPES) as OnnxType[]));
const size = fc.nat({ max: 3 });

const tensor: fc.Arbitrary<Omit<Initializer, "name">> = fc
  .record({ type, shape: fc.array(size, { maxLength: 3 }) })
  .chain(({ type: of, shape }) => {
    const length = sizeOf(shape) * ONNX_TYPES[of].bytes;
    return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ type: of, shape, data }));
  });

const float = fc.float({ noNaN: true });
const int = fc.maxSafeInteger();
const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  int.map((value): Attribute => ({ kind: "int", value })),
  float.map((value): Attribute => ({ kind: "float", value })),
  text.map((value): Attribute => ({ kind: "string", value })),
  fc.array(int, { maxLength: 4 }).map((value): Attribute => ({ kind: "ints", value })),
  fc.array(float, { maxLength: 4 }).map((value): Attribute => ({ kind: "floats", value })),
  tensor.map((value): Attribute => ({ kind: "tensor", value })),
);

const name = text.filter((value) => value !== "");
const node: fc.Arbitrary<OnnxNode> = fc.record(
  {
    op: name,
    name: text,
    inputs: fc.array(text, { maxLength: 3 }),
    outputs: fc.array(text, { maxLength: 2 }),
    domain: text,
    attributes: fc.dictionary(name, attribute, { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
  },
  { requiredKeys: ["op", "name", "inputs", "outputs"], noNullPrototype: true },
);

const value: fc.Arbitrary<ValueInfo> = fc.record({
  name: text,
  type,
  shape: fc.array(fc.oneof(size, text), { maxLength: 4 }),
});

/** Any model the format can hold; most of them are no graph that could run. */
export const anyModel: fc.Arbitrary<OnnxModel> = fc.record(
  {
    name: text,
    irVersion: fc.integer({ min: 1, max: 20 }),
    opsets: fc.dictionary(text, fc.integer({ min: 1, max: 30 }), { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
    producer: text,
    doc: text,
    metadata: fc.dictionary(text, text, { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
    inputs: fc.array(value, { maxLength: 2 }),
    outputs: fc.array(value, { maxLength: 2 }),
    initializers: fc.array(
      fc.tuple(name, tensor).map(([key, rest]) => ({ name: key, ...rest })),
      { maxLength: 3 },
    ),
    nodes: fc.array(node, { maxLength: 4 }),
  },
  {
    requiredKeys: ["name", "irVersion", "opsets", "producer", "inputs", "outputs", "initializers", "nodes"],
    noNullPrototype: true,
  },
);

/** A Python that imports `module`, or undefined; Debian's and the one on PATH are asked. */
export function pythonWith(module: string): string | undefined {
  return ["/usr/bin/python3", "python3"].find(
    (python) => spawnSync(python, ["-c", `import ${module}`], { stdio: "ignore" }).status === 0,
  );
}
