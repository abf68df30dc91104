/**
 * The graph a trace records: values in single-assignment form, nodes in topological order. Operators are ONNX operators, types are
 * ONNX types. Knows no TensorFlow.js and no runtime.
 */
import type { Attribute, OnnxType } from "../../onnx/model.ts";

/** Row-major data of a constant. int64 values are kept in a Float64Array (exact below 2^53), bool in a Uint8Array. */
export type ConstantData = Float32Array | Float64Array | Int32Array | Uint8Array;

/**
 * `uniform` is one number repeated over the value's shape: TensorFlow.js gradients are full of `ones(shape)` and `zeros(shape)`,
 * which must not become megabytes of initializers.
 */
export type Constant =
  { readonly kind: "uniform"; readonly value: number } | { readonly kind: "dense"; readonly data: ConstantData };

export interface Value {
  readonly type: OnnxType;
  readonly shape: readonly number[];
  readonly constant?: Constant;
}

export type Attributes = Readonly<Record<string, Attribute>>;

export interface Node {
  readonly op: string;
  /** `undefined` stands for an absent optional input. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
}

export interface Graph {
  readonly inputs: Readonly<Record<string, Value>>;
  readonly outputs: Readonly<Record<string, Value>>;
  readonly nodes: readonly Node[];
  /** Dimensions that stand for a size known only at run time: large prime → name. See trace/symbols.ts. */
  readonly symbols: ReadonlyMap<number, string>;
}

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((dim, i) => dim === b[i]);

export const int = (value: number): Attribute => ({ kind: "int", value });
export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });
export const float = (value: number): Attribute => ({ kind: "float", value });
export const string = (value: string): Attribute => ({ kind: "string", value });

/** Appends nodes in order; the only way a node or a constant comes to be. */
export class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly inputs: Record<string, Value> = {};
  readonly symbols: ReadonlyMap<number, string>;

  constructor(symbols: ReadonlyMap<number, string> = new Map()) {
    this.symbols = symbols;
  }

  input(name: string, type: OnnxType, shape: readonly number[]): Value {
    const value: Value = { type, shape };
    this.inputs[name] = value;
    return value;
  }

  uniform(value: number, shape: readonly number[] = [], type: OnnxType = "float32"): Value {
    return { type, shape, constant: { kind: "uniform", value } };
  }

  dense(data: ConstantData, shape: readonly number[], type: OnnxType): Value {
    return { type, shape, constant: { kind: "dense", data } };
  }

  /** A rank-1 int64 constant: shapes, axes, starts, ends, pads. */
  int64s(values: readonly number[]): Value {
    return this.dense(Float64Array.from(values), [values.length], "int64");
  }

  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    output: { type: OnnxType; shape: readonly number[] },
    attributes: Attributes = {},
  ): Value {
    const value: Value = { type: output.type, shape: [...output.shape] };
    this.nodes.push({ op, inputs, outputs: [value], attributes });
    return value;
  }

  build(outputs: Readonly<Record<string, Value>>): Graph {
    return { inputs: this.inputs, outputs, nodes: this.nodes, symbols: this.symbols };
  }
}
