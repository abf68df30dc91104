/**
 * Which values of a convolutional graph can be bytes, and which of them share a scale. Decided from the graph alone, so that who measures ranges and who
 * rewrites the graph agree. Knows no number of any tensor.
 */
import type { Initializer, OnnxModel, OnnxNode } from "../model.ts";
import { foldConstants } from "./constants.ts";

export interface Plan {
  /** The graph with its weights folded. */
  readonly model: OnnxModel;
  readonly constants: ReadonlyMap<string, Initializer>;
  /** Values that are made as bytes; those of convolutions, and what is done to them before the next one. */
  readonly bytes: ReadonlySet<string>;
  /**
   * The value in whose range the bytes of another stand: its own, or where it is only moved or cut at 0 on its way, that of what comes of it. A
   * convolution before a ReLU wastes no byte on what is negative. What is joined (Concat) has one range, or is no bytes.
   */
  readonly rangeOf: (value: string) => string;
}

/** The processor multiplies four bytes at once: fewer channels leave it idle, and float32 is faster. */
const FEWEST_CHANNELS = 4;

/** Operators that move numbers and compute nothing, and how many of their first inputs hold what they move. */
const MOVES: Readonly<Record<string, number>> = { Concat: Infinity, Reshape: 1, Slice: 1, Transpose: 1 };

/** The inputs of a node whose numbers it moves; undefined if it does something else. */
export function movedInputs({ op, inputs }: OnnxNode): readonly string[] | undefined {
  const count = MOVES[op];
  return count === undefined ? undefined : inputs.slice(0, count);
}

export function planConvolutions(original: OnnxModel): Plan {
  const model = foldConstants(original);
  const constants = new Map(model.initializers.map((initializer) => [initializer.name, initializer]));
  const convolutions = chooseConvolutions(model, constants);
  const apart = new Set<OnnxNode>();
  for (;;) {
    const bytes = chooseBytes(model, { convolutions, constants, apart });
    const rangeOf = rangesBy(model, bytes);
    const join = findUnequalJoin(model, bytes, rangeOf);
    if (join === undefined) return { model, constants, bytes, rangeOf };
    apart.add(join);
  }
}

/**
 * All convolutions of constant weights but those over few channels, and the last ones: what they make decides (the nearest code), unless the graph
 * returns bytes anyhow (pixels).
 */
function chooseConvolutions(model: OnnxModel, constants: Plan["constants"]): ReadonlySet<OnnxNode> {
  const all = new Set(model.nodes.filter(({ op }) => op === "Conv"));
  const before = valuesBefore(model, all);
  const ends = model.outputs.every(({ type }) => type === "uint8");
  return new Set(
    [...all].filter(({ inputs, outputs, attributes }) => {
      const [weights, bias] = inputs.slice(1).map((input) => constants.get(input));
      const group = attributes?.["group"];
      const plain = weights?.type === "float32" && weights.shape.length === 4 && (inputs[2] === undefined || bias !== undefined); // prettier-ignore
      const single = group === undefined || (group.kind === "int" && group.value === 1);
      const wide = (weights?.shape[1] ?? 0) >= FEWEST_CHANNELS;
      return plain && single && wide && (ends || outputs.some((output) => before.has(output)));
    }),
  );
}

/** Values that one of these nodes reads, or that something read by them is made of. */
function valuesBefore({ nodes }: OnnxModel, readers: ReadonlySet<OnnxNode>): ReadonlySet<string> {
  const before = new Set<string>();
  for (const node of nodes.toReversed()) {
    if (!readers.has(node) && !node.outputs.some((output) => before.has(output))) continue;
    for (const input of node.inputs) before.add(input);
  }
  return before;
}

interface Choice {
  readonly convolutions: ReadonlySet<OnnxNode>;
  readonly constants: Plan["constants"];
  /** Joins that stay float32. */
  readonly apart: ReadonlySet<OnnxNode>;
}

/** Sums are taken of bytes only where a convolution in int8 reads what comes of them: float32 knows them better. */
function chooseBytes(model: OnnxModel, { convolutions, constants, apart }: Choice): ReadonlySet<string> {
  const before = valuesBefore(model, convolutions);
  const bytes = new Set<string>();
  for (const node of model.nodes) {
    const [output = ""] = node.outputs;
    const ready = (inputs: readonly string[]): boolean => inputs.every((input) => bytes.has(input));
    const variable = node.inputs.filter((input) => !constants.has(input));
    const sums = node.op === "Add" && before.has(output) && variable.length > 0;
    const passes = node.op === "Relu" ? node.inputs : movedInputs(node);
    const moves = passes !== undefined && ready(passes) && !apart.has(node);
    if (convolutions.has(node) || (sums && ready(variable)) || moves) bytes.add(output);
  }
  return bytes;
}

/** Bytes of several ranges that are joined would be read as if they had one. */
function findUnequalJoin({ nodes }: OnnxModel, bytes: Plan["bytes"], rangeOf: Plan["rangeOf"]): OnnxNode | undefined {
  /** Of each value in bytes: the one whose range they stand in. */
  const ranges = new Map<string, string>();
  return nodes.find((node) => {
    const [output = ""] = node.outputs;
    if (!bytes.has(output)) return false;
    const sources = node.op === "Relu" ? node.inputs : movedInputs(node);
    const [range = "", ...others] = sources?.map((source) => ranges.get(source) ?? "") ?? [rangeOf(output)];
    ranges.set(output, range);
    return others.some((other) => other !== range);
  });
}

function rangesBy({ nodes, outputs }: OnnxModel, bytes: ReadonlySet<string>): Plan["rangeOf"] {
  const readers = new Map<string, OnnxNode[]>();
  for (const node of nodes) for (const input of node.inputs) readers.set(input, [...(readers.get(input) ?? []), node]);
  const returned = new Set(outputs.map(({ name }) => name));
  const found = new Map<string, string>();
  const rangeOf = (value: string): string => {
    const known = found.get(value);
    if (known !== undefined) return known;
    const ways = new Set((readers.get(value) ?? []).map((reader) => wayThrough(reader, value)));
    const [way = value] = ways;
    const range = ways.size === 1 && !returned.has(value) ? way : value;
    found.set(value, range);
    return range;
  };
  const wayThrough = (node: OnnxNode, value: string): string => {
    const [output = ""] = node.outputs;
    const passes = node.op === "Relu" || movedInputs(node)?.includes(value) === true;
    return passes && bytes.has(output) ? rangeOf(output) : value;
  };
  return rangeOf;
}
