/**
 * Judges whether an `OnnxModel` is one that Tessera publishes: a well-formed graph of standard operators with finite weights.
 * Knows neither bytes nor a runtime, and does not infer the shapes between the nodes.
 */
import { sizeOf } from "../records.ts";
import { mismatch } from "../errors.ts";
import type { ErrorSentence, TesseraError } from "../errors.ts";
import { isStandard, ONNX_TYPES, STANDARD_OPSET, standardOpset } from "./model.ts";
import type { Attribute, Initializer, OnnxModel, OnnxNode, ValueInfo } from "./model.ts";
import { STANDARD_OPERATORS } from "./operators.ts";

export interface CheckOptions {
  /** Operator domains beside the standard one, such as "com.microsoft"; their operators are not known by name. Default: none. */
  readonly allowDomains?: readonly string[];
}

/** The newest IR that the artefact format promises. */
const MAX_IR = 10;

/** @throws mismatch, naming the node or value, at the first rule that `model` breaks. */
export function checkModel(model: OnnxModel, { allowDomains = [] }: CheckOptions = {}): void {
  checkVersions(model, allowDomains);
  const defined = new Set<string>();
  for (const input of model.inputs) {
    define(defined, input.name, "input");
    checkValue(input, "input");
  }
  for (const initializer of model.initializers) {
    define(defined, initializer.name, "initializer");
    checkTensor(initializer, `initializer "${initializer.name}"`);
  }
  checkNodes(model, allowDomains, defined);
  checkOutputs(model.outputs, defined);
}

function checkVersions(model: OnnxModel, allowDomains: readonly string[]): void {
  const { irVersion, opsets } = model;
  if (!Number.isSafeInteger(irVersion) || irVersion < 3 || irVersion > MAX_IR) {
    throw broken({
      what: "the IR version is not readable everywhere",
      expected: `3 to ${MAX_IR}`,
      got: `${irVersion}`,
    });
  }
  const standard = standardOpset(model);
  if (standard !== STANDARD_OPSET) {
    throw broken({
      what: "the graph is written for another operator set",
      expected: `${STANDARD_OPSET}`,
      got: standard === undefined ? "none" : `${standard}`,
    });
  }
  const foreign = Object.keys(opsets).find((domain) => !isStandard(domain) && !allowDomains.includes(domain));
  if (foreign !== undefined) throw broken({ what: `the graph imports operators of "${foreign}"`, todo: STANDARD_ONLY });
}

function checkNodes(model: OnnxModel, allowDomains: readonly string[], defined: Set<string>): void {
  const names = new Set<string>();
  for (const [index, node] of model.nodes.entries()) {
    const where = `node ${index} "${node.name}" (${node.op})`;
    if (node.name !== "" && names.has(node.name)) throw broken({ what: "a node's name is used twice", where });
    names.add(node.name);
    checkOperator(node, where, model.opsets, allowDomains);
    for (const input of node.inputs) {
      if (input === "" || defined.has(input)) continue;
      throw broken({
        what: `input "${input}" is not defined before the node`,
        where,
        todo: "Order nodes by dependence",
      });
    }
    if (node.outputs.every((output) => output === "")) throw broken({ what: "the node has no output", where });
    for (const output of node.outputs) if (output !== "") define(defined, output, where);
    for (const [name, attribute] of Object.entries(node.attributes ?? {})) {
      checkAttribute(attribute, `${where}, attribute "${name}"`);
    }
  }
}

const STANDARD_ONLY = "Use standard operators, or allow the domain where the file stays with us";

function checkOperator(
  { op, domain = "" }: OnnxNode,
  where: string,
  opsets: OnnxModel["opsets"],
  allowDomains: readonly string[],
): void {
  if (isStandard(domain)) {
    if (STANDARD_OPERATORS.has(op)) return;
    throw broken({ what: `"${op}" is no operator of opset ${STANDARD_OPSET} that a Tessera graph may use`, where });
  }
  if (!allowDomains.includes(domain)) {
    throw broken({ what: `the operator belongs to "${domain}"`, where, todo: STANDARD_ONLY });
  }
  if (!Object.hasOwn(opsets, domain)) throw broken({ what: `the model imports no operator set of "${domain}"`, where });
}

function checkOutputs(outputs: readonly ValueInfo[], defined: ReadonlySet<string>): void {
  if (outputs.length === 0) throw broken({ what: "the graph has no output" });
  const names = new Set<string>();
  for (const output of outputs) {
    const where = `output "${output.name}"`;
    if (names.has(output.name)) throw broken({ what: "two outputs have one name", where });
    names.add(output.name);
    if (!defined.has(output.name)) throw broken({ what: "nothing produces the output", where });
    checkValue(output, "output");
  }
}

function checkValue({ name, type, shape }: ValueInfo, role: "input" | "output"): void {
  const where = `${role} "${name}"`;
  if (!Object.hasOwn(ONNX_TYPES, type)) throw broken({ what: "unknown type", where, got: type });
  for (const dim of shape) {
    if (typeof dim === "string" ? dim !== "" : Number.isSafeInteger(dim) && dim >= 0) continue;
    throw broken({ what: "a dimension has neither size nor name", where, got: `[${shape.join(", ")}]` });
  }
}

function checkAttribute(attribute: Attribute, where: string): void {
  if (attribute.kind === "tensor") checkTensor(attribute.value, where);
  else if (attribute.kind === "float" || attribute.kind === "floats") {
    const bad = [attribute.value].flat().find((value) => !Number.isFinite(value));
    if (bad !== undefined) throw broken({ what: "a number is not finite", where, got: `${bad}` });
  } else if (attribute.kind === "int" || attribute.kind === "ints") {
    const bad = [attribute.value].flat().find((value) => !Number.isSafeInteger(value));
    if (bad !== undefined) throw broken({ what: "a number is no integer", where, got: `${bad}` });
  }
}

function checkTensor({ type, shape, data }: Omit<Initializer, "name">, where: string): void {
  if (!Object.hasOwn(ONNX_TYPES, type)) throw broken({ what: "unknown type", where, got: type });
  const length = sizeOf(shape) * ONNX_TYPES[type].bytes;
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0) || data.byteLength !== length) {
    const expected = `${length} bytes for ${type} [${shape.join(", ")}]`;
    throw broken({ what: "data does not fill the shape", where, expected, got: `${data.byteLength}` });
  }
  if (type === "float32") {
    const index = firstNonFinite(data);
    if (index >= 0) throw broken({ what: `element ${index} is not finite`, where, todo: "Export a finite checkpoint" });
  }
  if (type === "bool" && data.some((byte) => byte > 1)) throw broken({ what: "a bool is neither 0 nor 1", where });
}

/** float32 with all exponent bits set is an infinity or NaN. */
const EXPONENT = 0x7f800000;

function firstNonFinite(data: Uint8Array): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let offset = 0; offset < data.byteLength; offset += 4) {
    if ((view.getUint32(offset, true) & EXPONENT) === EXPONENT) return offset / 4;
  }
  return -1;
}

function define(defined: Set<string>, name: string, where: string): void {
  if (name === "") throw broken({ what: "a value has no name", where });
  if (defined.has(name)) throw broken({ what: `value "${name}" is defined twice`, where });
  defined.add(name);
}

function broken(sentence: ErrorSentence): TesseraError {
  return mismatch({ ...sentence, what: `ONNX graph: ${sentence.what}` });
}
