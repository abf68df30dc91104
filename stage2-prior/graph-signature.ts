/**
 * Does a graph of anybody's making have the signature of a prior? Judges what the file declares: names, element types, ranks and fixed sizes.
 * Runs nothing; `graph-behaviour.ts` does.
 */
import { mismatch, type TesseraError } from "../shared/errors.ts";
import type { Dim, OnnxModel, OnnxType, ValueInfo } from "../shared/onnx/model.ts";
import { PAST_LENGTH, pastNames, presentNames, type PriorShape } from "./signature.ts";

/** A dimension that a signature asks for. */
interface Size {
  readonly text: string;
  fits(dim: Dim): boolean;
}

/** Chosen by the caller: N, T, R. */
const free = (text: string): Size => ({ text, fits: (dim) => typeof dim === "string" });
/** Known; a graph may leave it open. */
const known = (size: Dim): Size => ({ text: String(size), fits: (dim) => typeof dim === "string" || dim === size });
/** Known, and to be said by the graph. */
const fixed = (size: Dim): Size => ({ text: String(size), fits: (dim) => typeof dim === "number" && dim === size });
/** To be said by the graph, which alone knows. */
const said = (text: string): Size => ({ text, fits: (dim) => typeof dim === "number" && dim > 0 });

interface Value {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly Size[];
}

const HOW_TO_EXPORT =
  "Export it with the names, types and free sizes of the prior contract (artifacts/README.md), and name the tokenizer whose tokens it learnt.";

/**
 * @param where name of the file, for error sentences
 * @throws mismatch at the first input or output that is missing, too much, or of another type or shape
 */
export function checkGraphSignature(model: OnnxModel, shape: PriorShape, where: string): void {
  const constants = new Set(model.initializers.map(({ name }) => name));
  const inputs = model.inputs.filter(({ name }) => !constants.has(name)); // an input with a value need not be fed
  const { objective, classes, codebookSize, grid } = shape;
  const [count, length] = [free("N"), objective === "causal" ? free("T") : known(grid[0] * grid[1])];
  checkClass(inputs, classes, where);
  const caches = objective === "causal" ? cachesOf(inputs, where) : [];
  const expected = {
    inputs: [
      value("tokens", "int64", [count, length]),
      ...(classes.length === 0 ? [] : [value("class", "int64", [count])]),
      ...(caches.length === 0 ? [] : [value(PAST_LENGTH, "int64", [known(1)])]),
      ...caches.flatMap(({ past }) => past),
    ],
    outputs: [
      value("logits", "float32", [count, length, fixed(codebookSize)]),
      ...caches.flatMap(({ present }) => present),
    ],
  };
  for (const input of expected.inputs) checkValue(input, { role: "input", among: inputs, where });
  for (const output of expected.outputs) checkValue(output, { role: "output", among: model.outputs, where });
  const surplus = inputs.find(({ name }) => !expected.inputs.some((input) => input.name === name));
  if (surplus === undefined) return;
  throw mismatch({
    what: `the graph asks for an input "${surplus.name}" that a ${objective} prior is not given`,
    where,
    expected: expected.inputs.map(({ name }) => name).join(", "),
    got: inputs.map(({ name }) => name).join(", "),
    todo: HOW_TO_EXPORT,
  });
}

const value = (name: string, type: OnnxType, shape: readonly Size[]): Value => ({ name, type, shape });

function checkClass(inputs: readonly ValueInfo[], classes: readonly string[], where: string): void {
  const takes = inputs.some(({ name }) => name === "class");
  if (takes === classes.length > 0) return;
  const got = inputs.map(({ name }) => name).join(", ");
  throw takes
    ? mismatch({
        what: "the graph takes a class, and no classes are named",
        where,
        expected: "no input class: an unconditional prior",
        got,
        todo: "Name the classes that it learnt.",
      })
    : mismatch({
        what: "classes are named, and the graph takes none",
        where,
        expected: `an input class for ${classes.join(", ")}`,
        got,
        todo: "Name no classes.",
      });
}

/** What each layer's cache must be, as its keys say: layers are numbered from 0, without a gap. */
function cachesOf(inputs: readonly ValueInfo[], where: string): { past: Value[]; present: Value[] }[] {
  const caches: { past: Value[]; present: Value[] }[] = [];
  for (;;) {
    const [past, present] = [pastNames(caches.length), presentNames(caches.length)];
    const keys = inputs.find(({ name }) => name === past.keys);
    if (keys === undefined) break;
    const [, heads = "", , headDimension = ""] = keys.shape;
    caches.push({
      past: [
        value(past.keys, "float32", [free("N"), said("H"), free("R"), said("Dh")]),
        value(past.values, "float32", [free("N"), fixed(heads), free("R"), fixed(headDimension)]),
      ],
      present: [present.keys, present.values].map((name) =>
        value(name, "float32", [free("N"), known(heads), free("T"), known(headDimension)]),
      ),
    });
  }
  if (caches.length > 0) return caches;
  throw mismatch({
    what: "the graph has no key–value cache: decoding would forget all but the last token",
    where,
    expected: "inputs past_keys_0, past_values_0, past_keys_1, …",
    got: inputs.map(({ name }) => name).join(", "),
    todo: HOW_TO_EXPORT,
  });
}

function checkValue(
  expected: Value,
  { role, among, where }: { role: "input" | "output"; among: readonly ValueInfo[]; where: string },
): void {
  const got = among.find(({ name }) => name === expected.name);
  if (got === undefined) throw missing(expected, { role, among, where });
  const fits =
    got.type === expected.type &&
    got.shape.length === expected.shape.length &&
    expected.shape.every((size, axis) => size.fits(got.shape[axis] ?? ""));
  if (fits) return;
  throw mismatch({
    what: `the ${role} "${expected.name}" is of another type or shape`,
    where,
    expected: described(expected),
    got: `${got.type} [${got.shape.map((dim) => (dim === "" ? "?" : String(dim))).join(", ")}]`,
    todo: HOW_TO_EXPORT,
  });
}

const missing = (
  expected: Value,
  { role, among, where }: { role: string; among: readonly ValueInfo[]; where: string },
): TesseraError =>
  mismatch({
    what: `the graph has no ${role} "${expected.name}"`,
    where,
    expected: described(expected),
    got: among.map(({ name }) => name).join(", ") || "none",
    todo: HOW_TO_EXPORT,
  });

const described = ({ type, shape }: Value): string => `${type} [${shape.map(({ text }) => text).join(", ")}]`;
