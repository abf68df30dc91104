/**
 * Turns the bytes of an `.onnx` file into an `OnnxModel`, trusting none of them: what is cut off, contradictory, or outside
 * `model.ts` is refused, unknown fields are passed over. Knows no file and does not judge the graph (`check.ts` does).
 */
import { badInput } from "../errors.ts";
import { decodeTensor } from "./read-tensor.ts";
import { typeOfCode } from "./model.ts";
import type { Attribute, Dim, OnnxModel, OnnxNode, OnnxType, ValueInfo } from "./model.ts";
import {
  ATTRIBUTE_KINDS,
  AttributeField,
  DimField,
  EntryField,
  GraphField,
  ModelField,
  NodeField,
  OpsetField,
  ShapeField,
  TensorTypeField,
  TypeField,
  ValueField,
} from "./schema.ts";
import { Wire } from "./wire.ts";

/** The limit of one protobuf message. */
const MAX_BYTES = 2 ** 31 - 1;
/** About four times what a training graph of 10,000 nodes has. */
const MAX_FIELDS = 1_000_000;

/**
 * Weights are views into `bytes` where the file stores them as raw data: keep it unchanged while the model lives.
 *
 * @param where name of the file, for error sentences.
 * @throws bad-input if the bytes are no model, or use external data, sub-graphs or types that `model.ts` leaves out.
 */
export function decodeModel(bytes: Uint8Array, where: string): OnnxModel {
  if (bytes.byteLength > MAX_BYTES) throw badInput({ what: "the ONNX file passes 2 GiB", where });
  // A Buffer's views are Buffers; plain arrays compare and serialise alike.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wire = new Wire(plain, "model", { where, budget: MAX_FIELDS });
  let irVersion = 0;
  let producer = "";
  let doc: string | undefined;
  let graph: Graph | undefined;
  const opsets = new Map<string, number>();
  const metadata = new Map<string, string>();
  for (const field of wire.fields()) {
    if (field === ModelField.irVersion) irVersion = wire.int();
    else if (field === ModelField.producer) producer = wire.string();
    else if (field === ModelField.doc) doc = wire.string();
    else if (field === ModelField.opset) decodeOpset(wire.child("opset_import"), opsets);
    else if (field === ModelField.metadata) decodeEntry(wire.child("metadata_props"), metadata);
    else if (field === ModelField.functions) throw wire.refused("functions");
    else if (field === ModelField.graph) {
      if (graph !== undefined) throw wire.damaged("two graphs");
      graph = decodeGraph(wire.child("graph"));
    } else wire.skip(field);
  }
  if (irVersion <= 0) throw wire.damaged("no IR version");
  if (graph === undefined) throw wire.damaged("no graph");
  if (opsets.size === 0) throw wire.damaged("no operator set");
  return {
    ...graph,
    irVersion,
    opsets: Object.fromEntries(opsets),
    producer,
    ...(doc === undefined ? {} : { doc }),
    ...(metadata.size === 0 ? {} : { metadata: Object.fromEntries(metadata) }),
  };
}

type Graph = Pick<OnnxModel, "name" | "inputs" | "outputs" | "initializers" | "nodes">;

function decodeGraph(wire: Wire): Graph {
  let name = "";
  const nodes: OnnxNode[] = [];
  const initializers: OnnxModel["initializers"][number][] = [];
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  for (const field of wire.fields()) {
    if (field === GraphField.node) nodes.push(decodeNode(wire.child(`node ${nodes.length}`)));
    else if (field === GraphField.name) name = wire.string();
    else if (field === GraphField.initializer) {
      initializers.push(decodeTensor(wire.child(`initializer ${initializers.length}`)));
    } else if (field === GraphField.input) inputs.push(decodeValue(wire.child(`input ${inputs.length}`)));
    else if (field === GraphField.output) outputs.push(decodeValue(wire.child(`output ${outputs.length}`)));
    else if (field === GraphField.sparse) throw wire.refused("sparse initializers");
    else wire.skip(field);
  }
  return { name, inputs, outputs, initializers, nodes };
}

function decodeNode(wire: Wire): OnnxNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, Attribute>();
  let name = "";
  let op = "";
  let domain: string | undefined;
  for (const field of wire.fields()) {
    if (field === NodeField.input) inputs.push(wire.string());
    else if (field === NodeField.output) outputs.push(wire.string());
    else if (field === NodeField.name) name = wire.string();
    else if (field === NodeField.op) op = wire.string();
    else if (field === NodeField.domain) domain = wire.string();
    else if (field === NodeField.attribute) {
      const [key, attribute] = decodeAttribute(wire.child("attribute"));
      if (attributes.has(key)) throw wire.damaged(`attribute "${key}" occurs twice`);
      attributes.set(key, attribute);
    } else wire.skip(field);
  }
  if (op === "") throw wire.damaged("no operator");
  return {
    op,
    ...(domain === undefined ? {} : { domain }),
    name,
    inputs,
    outputs,
    ...(attributes.size === 0 ? {} : { attributes: Object.fromEntries(attributes) }),
  };
}

function decodeAttribute(wire: Wire): [string, Attribute] {
  let name = "";
  let kind = 0;
  let int = 0;
  let float = 0;
  let string = "";
  let tensor: Attribute | undefined;
  const ints: number[] = [];
  const floats: number[] = [];
  for (const field of wire.fields()) {
    if (field === AttributeField.name) name = wire.string();
    else if (field === AttributeField.kind) kind = wire.int();
    else if (field === AttributeField.int) int = wire.int();
    else if (field === AttributeField.float) float = wire.float();
    else if (field === AttributeField.string) string = wire.string();
    else if (field === AttributeField.ints) wire.intsInto(ints);
    else if (field === AttributeField.floats) wire.floatsInto(floats);
    else if (field === AttributeField.tensor) {
      const { type, shape, data } = decodeTensor(wire.child("tensor attribute"));
      tensor = { kind: "tensor", value: { type, shape, data } };
    } else if (field === AttributeField.reference) throw wire.refused("a reference to a function's attribute");
    else wire.skip(field);
  }
  if (name === "") throw wire.damaged("no name");
  if (kind === ATTRIBUTE_KINDS.int) return [name, { kind: "int", value: int }];
  if (kind === ATTRIBUTE_KINDS.float) return [name, { kind: "float", value: float }];
  if (kind === ATTRIBUTE_KINDS.string) return [name, { kind: "string", value: string }];
  if (kind === ATTRIBUTE_KINDS.ints) return [name, { kind: "ints", value: ints }];
  if (kind === ATTRIBUTE_KINDS.floats) return [name, { kind: "floats", value: floats }];
  if (kind === ATTRIBUTE_KINDS.tensor && tensor !== undefined) return [name, tensor];
  throw wire.refused(`"${name}" of attribute type ${kind}`);
}

function decodeValue(wire: Wire): ValueInfo {
  let name = "";
  let tensor: { type: OnnxType; shape: readonly Dim[] } | undefined;
  for (const field of wire.fields()) {
    if (field === ValueField.name) name = wire.string();
    else if (field === ValueField.type) {
      const type = wire.child("type");
      for (const inner of type.fields()) {
        if (inner === TypeField.tensor) tensor = decodeTensorType(type.child("tensor type"));
        else type.skip(inner);
      }
    } else wire.skip(field);
  }
  if (tensor === undefined) throw wire.refused(`"${name}" is no tensor`);
  return { name, ...tensor };
}

function decodeTensorType(wire: Wire): { type: OnnxType; shape: readonly Dim[] } {
  let code = 0;
  let shape: Dim[] | undefined;
  for (const field of wire.fields()) {
    if (field === TensorTypeField.element) code = wire.int();
    else if (field === TensorTypeField.shape) shape = decodeShape(wire.child("shape"));
    else wire.skip(field);
  }
  const type = typeOfCode(code);
  if (type === undefined) throw wire.refused(`data type ${code}`);
  if (shape === undefined) throw wire.refused("an input or output without a shape");
  return { type, shape };
}

function decodeShape(wire: Wire): Dim[] {
  const shape: Dim[] = [];
  for (const field of wire.fields()) {
    if (field !== ShapeField.dim) {
      wire.skip(field);
      continue;
    }
    const dim = wire.child("dimension");
    let size: Dim = "";
    for (const inner of dim.fields()) {
      if (inner === DimField.value) size = dim.int();
      else if (inner === DimField.param) size = dim.string();
      else dim.skip(inner);
    }
    if (typeof size === "number" && size < 0) throw dim.damaged(`size ${size}`);
    shape.push(size);
  }
  return shape;
}

function decodeOpset(wire: Wire, opsets: Map<string, number>): void {
  let domain = "";
  let version = 0;
  for (const field of wire.fields()) {
    if (field === OpsetField.domain) domain = wire.string();
    else if (field === OpsetField.version) version = wire.int();
    else wire.skip(field);
  }
  if (version <= 0) throw wire.damaged(`version ${version}`);
  if (opsets.has(domain)) throw wire.damaged(`domain "${domain}" occurs twice`);
  opsets.set(domain, version);
}

function decodeEntry(wire: Wire, entries: Map<string, string>): void {
  let key = "";
  let value = "";
  for (const field of wire.fields()) {
    if (field === EntryField.key) key = wire.string();
    else if (field === EntryField.value) value = wire.string();
    else wire.skip(field);
  }
  if (entries.has(key)) throw wire.damaged(`key "${key}" occurs twice`);
  entries.set(key, value);
}
