/**
 * An ONNX model as plain data: the part of `onnx.proto` that Tessera writes and reads. Knows neither bytes nor a runtime.
 *
 * Left out on purpose: sub-graphs (If, Loop, Scan), sequences, sparse and external tensors, functions, training info.
 */

export type OnnxType = "float32" | "int32" | "int64" | "uint8" | "int8" | "bool";

/** A fixed size, or the name of one that callers choose at run time (`dim_param`; "" = unknown and unnamed). */
export type Dim = number | string;

/** A graph input or output. */
export interface ValueInfo {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly Dim[];
}

/** A constant of the graph, row-major. */
export interface Initializer {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
  /** Little-endian, `product(shape) * ONNX_TYPES[type].bytes` long; any alignment. */
  readonly data: Uint8Array;
}

export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "floats"; readonly value: readonly number[] }
  | { readonly kind: "tensor"; readonly value: Omit<Initializer, "name"> };

export interface OnnxNode {
  readonly op: string;
  /** Absent or "" = the standard operators. */
  readonly domain?: string;
  readonly name: string;
  /** Value names; "" = an optional input left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface OnnxModel {
  readonly name: string;
  readonly irVersion: number;
  /** Operator set version by domain; "" = the standard operators. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly producer: string;
  readonly doc?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers: readonly Initializer[];
  readonly nodes: readonly OnnxNode[];
}

/** What design and peers agree on: the newest opset that every reader we name understands, and its IR. */
export const STANDARD_OPSET = 17;
export const STANDARD_IR = 8;

/** The standard operators go by two names. */
export const isStandard = (domain: string): boolean => domain === "" || domain === "ai.onnx";

/** Version of the standard operators that a model is written for. */
export const standardOpset = ({ opsets }: OnnxModel): number | undefined =>
  Object.entries(opsets).find(([domain]) => isStandard(domain))?.[1];

/** `code` is `TensorProto.DataType`; `bytes` the size of one element. */
export const ONNX_TYPES: Readonly<Record<OnnxType, { readonly code: number; readonly bytes: number }>> = {
  float32: { code: 1, bytes: 4 },
  uint8: { code: 2, bytes: 1 },
  int8: { code: 3, bytes: 1 },
  int32: { code: 6, bytes: 4 },
  int64: { code: 7, bytes: 8 },
  bool: { code: 9, bytes: 1 },
};

const TYPE_OF_CODE = new Map(Object.entries(ONNX_TYPES).map(([name, { code }]) => [code, name as OnnxType]));

/** The type with this `TensorProto.DataType` code, or undefined where Tessera does not carry it. */
export function typeOfCode(code: number): OnnxType | undefined {
  return TYPE_OF_CODE.get(code);
}
