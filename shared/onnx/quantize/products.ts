/**
 * Products in int8: each y = x·W of a graph whose W is a constant matrix becomes a product of integers, x rounded while the graph runs (dynamic
 * quantization), W beforehand. A pure rewrite of a model that stays in memory: operators of com.microsoft are not published. Knows no runtime.
 *
 * Each row of x has a step of its own, a 127th of its largest magnitude m, so that a row's result does not depend on the rows beside it, nor an
 * image's on its batch (per-token quantization: Yao et al. 2022, "ZeroQuant", arXiv:2206.01861, §3.2):
 * y [R, n] = m [R, 1] · c [n] / 127 · (round(127 x / m) [R, k] · Q [k, n]), where W ≈ Q · c, all sums in int32.
 *
 * Infinities come out as such or as NaN; a NaN of x is rounded to some number, as the runtime's maximum may pass it by.
 */
import { usageError } from "../../errors.ts";
import { isStandard, standardOpset } from "../model.ts";
import type { Attribute, Initializer, OnnxModel, OnnxNode, OnnxType } from "../model.ts";
import { floatsOf, replaceNodes } from "./constants.ts";
import { quantizeWeights, storeWeights, UNSIGNED_ZERO, type WeightStorage } from "./weights.ts";

/** Rows and columns of the smallest matrix that is rounded: with fewer, the passes over x and y cost more than the product saves. */
const SMALLEST_SIDE = 16;

/** The first operator set that can round, by QuantizeLinear. */
const OLDEST_OPSET = 10;
/** From this one on, reductions take their axes as an input. */
const AXES_AS_INPUT = 18;

/** @throws usage if `quantizeProducts` would change nothing in the graph */
export function checkProducts(model: OnnxModel, where: string): void {
  const opset = standardOpset(model) ?? 0;
  if (opset < OLDEST_OPSET) {
    throw usageError({
      what: "the graph is written for an operator set that cannot compute in int8",
      where,
      expected: `opset ${OLDEST_OPSET} or a later one`,
      got: `${opset}`,
      todo: "Use float32, or export the model for a later opset.",
    });
  }
  if (findProducts(model).size > 0) return;
  throw usageError({
    what: "there is nothing to quantize: the graph has no product with a constant matrix that is large enough",
    where,
    todo: "Use float32.",
  });
}

/** @returns `model` itself if it has no such product, or its operator set is too old (`checkProducts` tells) */
export function quantizeProducts(model: OnnxModel, storage: WeightStorage = {}): OnnxModel {
  const opset = standardOpset(model) ?? 0;
  const products = findProducts(model);
  if (products.size === 0 || opset < OLDEST_OPSET) return model;
  const additions = createAdditions(model);
  const write = createProductWriter(additions, { ...storage, opset });
  const nodes = model.nodes.flatMap((node) => {
    const product = products.get(node);
    return product === undefined ? [node] : write(product);
  });
  return replaceNodes({ ...model, opsets: { ...model.opsets, [MICROSOFT]: 1 } }, nodes, additions.initializers);
}

const MICROSOFT = "com.microsoft";

/** y = x·W, or x·Wᵀ, and + bias where there is one. */
interface Product {
  readonly name: string;
  readonly x: string;
  readonly weights: Initializer;
  /** Whether the weights lie as [n, k]. */
  readonly transposed: boolean;
  /** "" = none. */
  readonly bias: string;
  readonly y: string;
}

function findProducts(model: OnnxModel): ReadonlyMap<OnnxNode, Product> {
  const constants = new Map(model.initializers.map((initializer) => [initializer.name, initializer]));
  const products = model.nodes.map((node) => [node, productOf(node, constants)] as const);
  return new Map(products.filter((entry): entry is [OnnxNode, Product] => entry[1] !== undefined));
}

function productOf(node: OnnxNode, constants: ReadonlyMap<string, Initializer>): Product | undefined {
  const { op, name, domain = "", inputs, outputs, attributes = {} } = node;
  const [x = "", matrix = "", bias = ""] = inputs;
  const [y = ""] = outputs;
  const weights = constants.get(matrix);
  if (!isStandard(domain) || constants.has(x) || weights === undefined) return undefined;
  if (!isLargeMatrix(weights) || movesNumbers(weights)) return undefined;
  if (op === "MatMul") return { name, x, weights, transposed: false, bias: "", y };
  const plain = numberOf(attributes["alpha"], 1) === 1 && numberOf(attributes["beta"], 1) === 1;
  if (op !== "Gemm" || !plain || numberOf(attributes["transA"], 0) !== 0) return undefined;
  return { name, x, weights, transposed: numberOf(attributes["transB"], 0) !== 0, bias, y };
}

const isLargeMatrix = ({ type, shape }: Initializer): boolean =>
  type === "float32" && shape.length === 2 && Math.min(...shape) >= SMALLEST_SIDE;

/** A matrix of −1, 0 and 1 has not learnt anything: it moves numbers (rotary positions), which rounding would only make worse. */
const movesNumbers = (matrix: Initializer): boolean =>
  floatsOf(matrix).every((value) => value === 0 || Math.abs(value) === 1);

const numberOf = (attribute: Attribute | undefined, fallback: number): number =>
  attribute?.kind === "int" || attribute?.kind === "float" ? attribute.value : fallback;

/** What a rewrite adds to a model. */
interface Additions {
  /** Grows with every constant. */
  readonly initializers: readonly Initializer[];
  /** A name that the model does not have yet, like `base`. */
  fresh(base: string): string;
  /** @returns the name of a new initializer, like `base` */
  constant(base: string, type: OnnxType, shape: readonly number[], values: ArrayBufferView): string;
}

function createAdditions({ nodes, inputs, initializers }: OnnxModel): Additions {
  const own: Initializer[] = [];
  const taken = new Set([
    ...nodes.flatMap((node) => [node.name, ...node.outputs]),
    ...[...inputs, ...initializers].map(({ name }) => name),
  ]);
  const fresh = (base: string): string => {
    let name = base;
    while (taken.has(name)) name += "'";
    taken.add(name);
    return name;
  };
  return {
    initializers: own,
    fresh,
    constant(base, type, shape, { buffer, byteOffset, byteLength }) {
      const name = fresh(base);
      own.push({ name, type, shape, data: new Uint8Array(buffer, byteOffset, byteLength) });
      return name;
    },
  };
}

const LARGEST = 127;

interface WriterOptions extends WeightStorage {
  readonly opset: number;
}

/** The nodes in a product's place; those that round its x come with the first product of this x. */
function createProductWriter(additions: Additions, options: WriterOptions): (product: Product) => OnnxNode[] {
  const { opset, ...storage } = options;
  const zeroPoint = additions.constant("int8/zero-point", "uint8", [], Uint8Array.of(UNSIGNED_ZERO));
  const step = additions.constant("int8/step", "float32", [], Float32Array.of(1 / LARGEST));
  const zeroPoints = storage.unsignedWeights === true ? [zeroPoint, zeroPoint] : [zeroPoint];
  const axes = opset < AXES_AS_INPUT ? undefined : additions.constant("int8/axes", "int64", [1], BigInt64Array.of(-1n));
  const rows = remembering((x: string) => roundRows(x, { step, zeroPoint, axes }, additions));
  const matrices = remembering((weights: Initializer) =>
    remembering((transposed: boolean) => addMatrix(weights, { ...storage, transposed }, additions)),
  );
  return ({ name, x, weights, transposed, bias, y }) => {
    const isFirst = !rows.has(x);
    const { nodes, integers, largest } = rows.get(x);
    const matrix = matrices.get(weights).get(transposed);
    const unscaled = additions.fresh(`int8/${y}/unscaled`);
    const scaled = bias === "" ? y : additions.fresh(`int8/${y}/unbiased`);
    const factors = [integers, matrix.integers, step, matrix.scales, ...zeroPoints];
    return [
      ...(isFirst ? nodes : []),
      { op: "MatMulIntegerToFloat", domain: MICROSOFT, name, inputs: factors, outputs: [unscaled] }, // [.., n]
      operator("Mul", [unscaled, largest], scaled),
      ...(bias === "" ? [] : [operator("Add", [scaled, bias], y)]),
    ];
  };
}

/** A function whose results are made once. */
function remembering<Key, Result>(make: (key: Key) => Result): { has(key: Key): boolean; get(key: Key): Result } {
  const made = new Map<Key, { readonly result: Result }>();
  return {
    has: (key) => made.has(key),
    get(key) {
      const known = made.get(key) ?? { result: make(key) };
      made.set(key, known);
      return known.result;
    },
  };
}

/** Names of constants; `axes` where the operator set wants them as an input. */
interface RowConstants {
  readonly step: string;
  readonly zeroPoint: string;
  readonly axes: string | undefined;
}

/** Nodes that make uint8 around 128 of x, and each row's largest magnitude. A row of zeros becomes any integers: times 0 in the end. */
function roundRows(x: string, { step, zeroPoint, axes }: RowConstants, additions: Additions) {
  const value = (what: string): string => additions.fresh(`int8/${x}/${what}`);
  const [sizes, largest, shares, integers] = [value("sizes"), value("largest"), value("shares"), value("integers")];
  const keepdims: Attribute = { kind: "int", value: 1 };
  const maximum =
    axes === undefined
      ? { ...operator("ReduceMax", [sizes], largest), attributes: { axes: LAST_AXIS, keepdims } }
      : { ...operator("ReduceMax", [sizes, axes], largest), attributes: { keepdims } };
  const nodes: readonly OnnxNode[] = [
    operator("Abs", [x], sizes), // [.., k]
    maximum, // [.., 1]
    operator("Div", [x, largest], shares), // [.., k], −1 … 1
    operator("QuantizeLinear", [shares, step, zeroPoint], integers),
  ];
  return { nodes, integers, largest };
}

const LAST_AXIS: Attribute = { kind: "ints", value: [-1] };

/** The constants [k, n] and [n], a scale a column, whichever way the weights lie. */
function addMatrix(
  weights: Initializer,
  { transposed, ...storage }: WeightStorage & { readonly transposed: boolean },
  additions: Additions,
) {
  const { name, shape } = weights;
  const { values, scales } = quantizeWeights(floatsOf(weights), shape, transposed ? 0 : 1);
  const { type, elements } = storeWeights(transposed ? turned(values, shape) : values, storage);
  const size = transposed ? shape.toReversed() : shape;
  const integers = additions.constant(`int8/${name}`, type, size, elements);
  return { integers, scales: additions.constant(`int8/${name}/scales`, "float32", [scales.length], scales) };
}

/** [n, k] → [k, n] */
function turned(values: Int8Array, [n = 0, k = 0]: readonly number[]): Int8Array<ArrayBuffer> {
  const result = new Int8Array(values.length);
  for (let column = 0; column < n; column++) {
    for (let row = 0; row < k; row++) result[row * n + column] = values[column * k + row] ?? 0;
  }
  return result;
}

/** Named like what it makes. */
const operator = (op: string, inputs: readonly string[], output: string): OnnxNode => ({
  ...{ op, name: output, inputs },
  outputs: [output],
});
