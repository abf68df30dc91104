/**
 * Field numbers of `onnx.proto` (ONNX IR, proto2), as far as writer and reader need them. Knows nothing but the numbers.
 */

export const ModelField = {
  irVersion: 1,
  producer: 2,
  doc: 6,
  graph: 7,
  opset: 8,
  metadata: 14,
  functions: 25,
} as const;
export const OpsetField = { domain: 1, version: 2 } as const;
export const EntryField = { key: 1, value: 2 } as const;
export const GraphField = { node: 1, name: 2, initializer: 5, input: 11, output: 12, sparse: 15 } as const;
export const NodeField = { input: 1, output: 2, name: 3, op: 4, attribute: 5, domain: 7 } as const;
export const AttributeField = {
  name: 1,
  float: 2,
  int: 3,
  string: 4,
  tensor: 5,
  floats: 7,
  ints: 8,
  kind: 20,
  reference: 21,
} as const;
export const TensorField = {
  dims: 1,
  type: 2,
  segment: 3,
  floatData: 4,
  int32Data: 5,
  int64Data: 7,
  name: 8,
  rawData: 9,
  externalData: 13,
  location: 14,
} as const;
export const ValueField = { name: 1, type: 2 } as const;
export const TypeField = { tensor: 1 } as const;
export const TensorTypeField = { element: 1, shape: 2 } as const;
export const ShapeField = { dim: 1 } as const;
export const DimField = { value: 1, param: 2 } as const;

/** `AttributeProto.AttributeType`. */
export const ATTRIBUTE_KINDS = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7 } as const;
