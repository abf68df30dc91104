/**
 * A float32 graph's convolutions in int8, as the graph is loaded: weights int8 by output channel, activations uint8 in ranges that were measured before
 * (Jacob et al. 2018, arXiv:1712.05877). A result depends on nothing but its own image: ranges are constants of the graph, and sums are of integers.
 * What is published stays float32. Knows neither a runtime nor how ranges are measured (`ranges.ts`).
 */
import { invariant, mismatch } from "../../errors.ts";
import type { Initializer, OnnxModel, OnnxNode, OnnxType } from "../model.ts";
import { floatsOf, replaceNodes } from "./constants.ts";
import { quantizeFilters } from "./filters.ts";
import { movedInputs, planConvolutions, type Plan } from "./plan.ts";
import { storeWeights, type WeightStorage } from "./weights.ts";

export type Range = readonly [least: number, largest: number];
/** By value of a graph. */
export type Ranges = Readonly<Record<string, Range>>;

/** A tensor of bytes: number ≈ scale · (byte − zero). */
interface Bytes {
  readonly name: string;
  readonly scale: number;
  readonly zero: number;
}

/** Values of the graph whose ranges `quantizeConvolutions` needs; none where it has no convolution to quantize. */
export function activationNames(model: OnnxModel): readonly string[] {
  const { model: folded, constants, bytes, rangeOf } = planConvolutions(model);
  const names = new Set<string>();
  for (const node of folded.nodes) {
    const [output = ""] = node.outputs;
    if (!bytes.has(output)) continue;
    const [input = ""] = node.inputs;
    if (node.op === "Conv" && !bytes.has(input)) names.add(input);
    if (node.op === "Conv" || node.op === "Add") names.add(rangeOf(output));
  }
  return [...names].filter((name) => !constants.has(name));
}

export interface ConvolutionOptions extends WeightStorage {
  /** Where the ranges lie, for errors. */
  readonly where?: string;
}

/** @throws mismatch if a range is missing */
export function quantizeConvolutions(model: OnnxModel, ranges: Ranges, options: ConvolutionOptions = {}): OnnxModel {
  const plan = planConvolutions(model);
  const writer = new QuantizedGraph(plan, ranges, options);
  for (const node of plan.model.nodes) writer.add(node);
  return writer.finish();
}

class QuantizedGraph {
  readonly #plan: Plan;
  readonly #ranges: Ranges;
  readonly #options: ConvolutionOptions;
  readonly #nodes: OnnxNode[] = [];
  readonly #constants = new Map<string, Initializer>();
  /** By the value that they stand for. */
  readonly #bytes = new Map<string, Bytes>();
  /** Values made as bytes that were turned back into float32 too. */
  readonly #floats = new Set<string>();

  constructor(plan: Plan, ranges: Ranges, options: ConvolutionOptions) {
    this.#plan = plan;
    this.#ranges = ranges;
    this.#options = options;
  }

  add(node: OnnxNode): void {
    const [output = ""] = node.outputs;
    if (!this.#plan.bytes.has(output)) {
      this.#nodes.push({ ...node, inputs: node.inputs.map((input) => this.#floatOf(input)) });
    } else if (node.op === "Conv") this.#convolve(node, output);
    else if (node.op === "Add") this.#sum(node, output);
    else if (node.op === "Relu") this.#rectify(node, output);
    else this.#move(node, output);
  }

  finish(): OnnxModel {
    const { model } = this.#plan;
    for (const { name } of model.outputs) this.#floatOf(name);
    const opsets = { ...model.opsets, "com.microsoft": 1 };
    return replaceNodes({ ...model, opsets }, this.#nodes, [...this.#constants.values()]);
  }

  #convolve({ inputs: [input = "", weights = "", bias], attributes = {} }: OnnxNode, output: string): void {
    const x = this.#bytesOf(input);
    const y = this.#within(output, this.#plan.rangeOf(output));
    const { constants } = this.#plan;
    const kernel = constants.get(weights);
    invariant(kernel !== undefined, `the plan chose a convolution whose weights "${weights}" are no constant`);
    const filters = quantizeFilters(kernel, bias === undefined ? undefined : constants.get(bias), x.scale);
    const channels = [filters.scales.length];
    const inputs = [
      ...this.#triple(x),
      this.#weights(`${y.name}/weights`, kernel.shape, filters.values),
      this.#constant(`${y.name}/steps`, "float32", channels, filters.scales),
      this.#weights(`${y.name}/zeros`, channels, new Int8Array(filters.scales.length)),
      ...this.#point(y),
      ...(filters.bias === undefined ? [] : [this.#constant(`${y.name}/bias`, "int32", channels, filters.bias)]),
    ];
    this.#nodes.push({ op: "QLinearConv", name: `${y.name}/convolution`, inputs, outputs: [y.name], attributes });
  }

  #sum({ inputs }: OnnxNode, output: string): void {
    const terms = inputs.map((input) => this.#bytesOf(input));
    const y = this.#within(output, this.#plan.rangeOf(output));
    this.#nodes.push({
      op: "QLinearAdd",
      domain: "com.microsoft",
      name: `${y.name}/sum`,
      inputs: [...terms.flatMap((term) => this.#triple(term)), ...this.#point(y)],
      outputs: [y.name],
    });
  }

  /** Nothing to do where the bytes end at 0 already. */
  #rectify({ inputs: [input = ""] }: OnnxNode, output: string): void {
    const x = this.#bytesOf(input);
    if (x.zero === 0) {
      this.#bytes.set(output, x);
      return;
    }
    const y = { ...x, name: bytesName(output) };
    this.#nodes.push({ op: "Clip", name: `${y.name}/rectify`, inputs: [x.name, this.#point(x)[1]], outputs: [y.name] });
    this.#bytes.set(output, y);
  }

  #move(node: OnnxNode, output: string): void {
    const moved = movedInputs(node) ?? [];
    const sources = moved.map((input) => this.#bytesOf(input));
    const [first] = sources;
    invariant(first !== undefined, `node "${node.name}" moves nothing`);
    const alike = sources.every(({ scale, zero }) => scale === first.scale && zero === first.zero);
    invariant(alike, `node "${node.name}" joins bytes of several ranges`);
    const y = { ...first, name: bytesName(output) };
    const rest = node.inputs.slice(moved.length);
    this.#nodes.push({ ...node, inputs: [...sources.map(({ name }) => name), ...rest], outputs: [y.name] });
    this.#bytes.set(output, y);
  }

  #bytesOf(value: string): Bytes {
    const known = this.#bytes.get(value);
    if (known !== undefined) return known;
    const made = this.#within(value, value);
    const inputs = [value, ...this.#point(made)];
    this.#nodes.push({ op: "QuantizeLinear", name: `${made.name}/quantize`, inputs, outputs: [made.name] });
    return made;
  }

  #floatOf(value: string): string {
    const made = this.#plan.bytes.has(value) ? this.#bytes.get(value) : undefined;
    if (made === undefined || this.#floats.has(value)) return value;
    this.#floats.add(value);
    this.#nodes.push({
      op: "DequantizeLinear",
      name: `${value}/dequantize`,
      inputs: this.#triple(made),
      outputs: [value],
    });
    return value;
  }

  /** The bytes of `value`, in the range of `of`. */
  #within(value: string, of: string): Bytes {
    const constant = this.#plan.constants.get(of);
    const range = constant === undefined ? this.#ranges[of] : extremesOf(floatsOf(constant));
    if (range === undefined) {
      throw mismatch({
        what: `the ranges for int8 say nothing of the graph's value "${of}"`,
        ...(this.#options.where === undefined ? {} : { where: this.#options.where }),
        expected: activationNames(this.#plan.model).join(", "),
        got: Object.keys(this.#ranges).join(", ") || "none",
      });
    }
    const made = { name: bytesName(value), ...pointOf(range) };
    this.#bytes.set(value, made);
    return made;
  }

  #triple(bytes: Bytes): string[] {
    return [bytes.name, ...this.#point(bytes)];
  }

  #point({ scale, zero }: Bytes): [scale: string, zero: string] {
    return [
      this.#constant(`uint8/scale ${scale}`, "float32", [], Float32Array.of(scale)),
      this.#constant(`uint8/zero ${zero}`, "uint8", [], Uint8Array.of(zero)),
    ];
  }

  #weights(name: string, shape: readonly number[], values: Int8Array<ArrayBuffer>): string {
    const { type, elements } = storeWeights(values, this.#options);
    return this.#constant(name, type, shape, elements);
  }

  #constant(name: string, type: OnnxType, shape: readonly number[], values: ArrayBufferView<ArrayBuffer>): string {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#constants.set(name, { name, type, shape, data });
    return name;
  }
}

const bytesName = (value: string): string => `${value}/uint8`;

const LARGEST_BYTE = 255;
/** Keeps a scale from vanishing in float32. */
const LEAST_SCALE = 2 ** -100;

/** 0 is always a byte of its own: padding is made of it. */
function pointOf([least, largest]: Range): { readonly scale: number; readonly zero: number } {
  const [from, to] = [Math.min(0, least), Math.max(0, largest)];
  const scale = Math.fround(Math.max((to - from) / LARGEST_BYTE, LEAST_SCALE));
  return { scale, zero: Math.min(LARGEST_BYTE, Math.round(-from / scale)) };
}

/** The smallest range that holds 0 and all values. */
export function extremesOf(values: Float32Array): Range {
  let [least, largest] = [0, 0];
  for (const value of values) {
    if (value < least) least = value;
    else if (value > largest) largest = value;
  }
  return [least, largest];
}
