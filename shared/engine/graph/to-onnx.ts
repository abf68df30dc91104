/** Writes a graph down as an ONNX model: names values, turns constants into initializers and open sizes into `Shape` look-ups. */
import {
  STANDARD_IR,
  STANDARD_OPSET,
  type Dim,
  type Initializer,
  type OnnxModel,
  type OnnxNode,
  type OnnxType,
  type ValueInfo,
} from "../../onnx/model.ts";
import { type ConstantData, type Graph, type Node, type Value } from "./graph.ts";
import { sizeOf } from "../../records.ts";
import { allocate } from "./passes/fold-constants.ts";
import { expressSize, nameSize, type SizeExpression } from "./symbols.ts";

/** Uniform constants up to this many elements are written out; larger ones become an Expand of a scalar. */
const LARGEST_UNIFORM = 1 << 10;

export interface ModelOptions {
  readonly name: string;
  readonly doc?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export function toOnnx(graph: Graph, options: ModelOptions): OnnxModel {
  return new ModelWriter(graph).write(options);
}

class ModelWriter {
  readonly #graph: Graph;
  readonly #names = new Map<Value, string>();
  readonly #constants = new Map<string, string>();
  readonly #initializers: Initializer[] = [];
  readonly #nodes: OnnxNode[] = [];
  readonly #large = new Map<ConstantData, number>();
  readonly #sizes = new Map<number, string>();

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  write(options: ModelOptions): OnnxModel {
    const { inputs, outputs, nodes } = this.#graph;
    for (const [name, value] of Object.entries(inputs)) this.#names.set(value, name);
    const taken = new Set<Value>(Object.values(inputs));
    const aliases: [string, Value][] = [];
    for (const [name, value] of Object.entries(outputs)) {
      if (taken.has(value) || value.constant !== undefined) aliases.push([name, value]);
      else this.#names.set(value, name);
      taken.add(value);
    }
    for (const node of nodes) this.#writeNode(node);
    for (const [name, value] of aliases) this.#emit("Identity", [this.#nameOf(value)], name);
    return {
      ...options,
      irVersion: STANDARD_IR,
      opsets: { "": STANDARD_OPSET },
      producer: "tessera",
      inputs: Object.entries(inputs).map(([name, value]) => this.#info(name, value)),
      outputs: Object.entries(outputs).map(([name, value]) => this.#info(name, value)),
      initializers: this.#initializers,
      nodes: this.#nodes,
    };
  }

  #info(name: string, value: Value): ValueInfo {
    const shape = value.shape.map((size): Dim => {
      const expression = expressSize(size, this.#graph.symbols);
      return expression === undefined ? size : nameSize(expression, this.#graph.symbols);
    });
    return { name, type: value.type, shape };
  }

  #writeNode(node: Node): void {
    const inputs = node.inputs.map((input, i) => {
      if (input === undefined) return "";
      return node.op === "Reshape" && i === 1 ? this.#reshapeTarget(input) : this.#nameOf(input);
    });
    const [output] = node.outputs;
    if (output === undefined) throw new Error(`${node.op} has no output.`);
    this.#emit(node.op, inputs, this.#nameOf(output), node.attributes);
  }

  #emit(op: string, inputs: readonly string[], output: string, attributes: OnnxNode["attributes"] = {}): string {
    this.#nodes.push({ op, name: `${op}_${this.#nodes.length}`, inputs, outputs: [output], attributes });
    return output;
  }

  #nameOf(value: Value): string {
    if (value.constant !== undefined) return this.#constantName(value);
    const name = this.#names.get(value) ?? `v${this.#names.size}`;
    this.#names.set(value, name);
    return name;
  }

  /** One open size of a Reshape target may be written as −1. */
  #reshapeTarget(shape: Value): string {
    const { constant } = shape;
    if (constant?.kind !== "dense") return this.#nameOf(shape);
    const sizes = [...constant.data];
    const inferred = sizes.findIndex((size) => expressSize(size, this.#graph.symbols) !== undefined);
    return this.#sizeVector(sizes.map((size, i) => (i === inferred ? -1 : size)));
  }

  #constantName(value: Value): string {
    const { constant, type, shape } = value;
    if (constant === undefined) throw new Error("constantName: not a constant.");
    const symbolic = (size: number): boolean => expressSize(size, this.#graph.symbols) !== undefined;
    if (constant.kind === "uniform") {
      if (symbolic(constant.value)) throw openAsNumber(this.#graph.symbols);
      const scalar = this.#initializer(type, [], allocate(type, 1).fill(constant.value));
      if (shape.length === 0) return scalar;
      const size = sizeOf(shape);
      if (size <= LARGEST_UNIFORM) return this.#initializer(type, shape, allocate(type, size).fill(constant.value));
      const sizes = this.#sizeVector([...shape]);
      return this.#emit("Expand", [scalar, sizes], `c${this.#nodes.length}`);
    }
    if (shape.some(symbolic)) throw openAsNumber(this.#graph.symbols);
    if (type === "int64" && constant.data.some(symbolic)) return this.#sizeVector([...constant.data]);
    return this.#initializer(type, shape, constant.data);
  }

  /** A rank-1 int64 value, computed from input shapes where it holds open sizes. */
  #sizeVector(sizes: readonly number[]): string {
    const expressions = sizes.map((size) => expressSize(size, this.#graph.symbols));
    if (expressions.every((expression) => expression === undefined)) {
      return this.#initializer("int64", [sizes.length], Float64Array.from(sizes));
    }
    const parts = sizes.map((size, i) => {
      const expression = expressions[i];
      return expression === undefined
        ? this.#initializer("int64", [1], Float64Array.of(size))
        : this.#computeSize(size, expression);
    });
    if (parts.length === 1) return parts[0] ?? "";
    return this.#emit("Concat", parts, `s${this.#nodes.length}`, { axis: { kind: "int", value: 0 } });
  }

  #computeSize(size: number, expression: SizeExpression): string {
    const known = this.#sizes.get(size);
    if (known !== undefined) return known;
    const terms = expression.map(({ factor, symbols }) => {
      const factors = symbols.map((prime) => this.#symbolSize(prime));
      if (factor !== 1 || factors.length === 0) factors.push(this.#initializer("int64", [1], Float64Array.of(factor)));
      return factors.reduce((a, b) => this.#emit("Mul", [a, b], `s${this.#nodes.length}`));
    });
    const name = terms.reduce((a, b) => this.#emit("Add", [a, b], `s${this.#nodes.length}`));
    this.#sizes.set(size, name);
    return name;
  }

  /** The run-time value of one open size, read off the first input that has it as a dimension. */
  #symbolSize(prime: number): string {
    const known = this.#sizes.get(prime);
    if (known !== undefined) return known;
    for (const [name, value] of Object.entries(this.#graph.inputs)) {
      const axis = value.shape.indexOf(prime);
      if (axis < 0) continue;
      const attributes = { start: { kind: "int", value: axis }, end: { kind: "int", value: axis + 1 } } as const;
      const size = this.#emit("Shape", [name], `s${this.#nodes.length}`, attributes);
      this.#sizes.set(prime, size);
      return size;
    }
    throw new Error(`No input has the open size ${this.#graph.symbols.get(prime) ?? prime}.`);
  }

  /** Equal small constants share one initializer, and so do all uses of a large one in the same shape. */
  #initializer(type: OnnxType, shape: readonly number[], data: ConstantData): string {
    const key = `${type}[${shape.join()}]${this.#contentOf(data)}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = `k${this.#initializers.length}`;
    this.#initializers.push({ name, type, shape, data: toBytes(type, data) });
    this.#constants.set(key, name);
    return name;
  }

  #contentOf(data: ConstantData): string {
    if (data.length <= 64) return `${data.join()}${data.some((x) => Object.is(x, -0)) ? "-0" : ""}`;
    const id = this.#large.get(data) ?? this.#large.size;
    this.#large.set(data, id);
    return `@${id}`;
  }
}

/** While tracing, an open size is a made-up number: a constant made of it (a mean's divisor, a range) would be wrong at run time. */
const openAsNumber = (symbols: ReadonlyMap<number, string>): Error =>
  new Error(
    `An open size (${[...symbols.values()].join(", ")}) was used as a number or as the length of a table. ` +
      "Use it in shapes only: tf.mean instead of dividing, a slice of a longest table instead of tf.range.",
  );

function toBytes(type: OnnxType, data: ConstantData): Uint8Array {
  const stored = type === "int64" ? BigInt64Array.from(data, (x) => BigInt(x)) : data;
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}
