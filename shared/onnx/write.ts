/**
 * Turns an `OnnxModel` into the bytes of an `.onnx` file. Equal models give equal bytes: records are written sorted by key.
 * Knows no file and does not judge the model (`check.ts` does).
 *
 * A message is a list of chunks until the end, so a weight of any size is copied exactly once, into the result.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

import { failure } from "../errors.ts";
import { ONNX_TYPES } from "./model.ts";
import type { Attribute, Dim, Initializer, OnnxModel, OnnxNode, ValueInfo } from "./model.ts";
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
  TensorField,
  TensorTypeField,
  TypeField,
  ValueField,
} from "./schema.ts";

/** The limit of one protobuf message; above it every reader refuses. */
const MAX_BYTES = 2 ** 31 - 1;

/** @throws failure if the file would pass 2 GiB or a number does not fit its field. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const message = new Message().int(ModelField.irVersion, model.irVersion).string(ModelField.producer, model.producer);
  if (model.doc !== undefined) message.string(ModelField.doc, model.doc);
  message.child(ModelField.graph, graphMessage(model));
  for (const [domain, version] of sorted(model.opsets)) {
    message.child(ModelField.opset, new Message().string(OpsetField.domain, domain).int(OpsetField.version, version));
  }
  for (const [key, value] of sorted(model.metadata ?? {})) {
    message.child(ModelField.metadata, new Message().string(EntryField.key, key).string(EntryField.value, value));
  }
  return message.finish();
}

function graphMessage(model: OnnxModel): Message {
  const graph = new Message();
  for (const node of model.nodes) graph.child(GraphField.node, nodeMessage(node));
  graph.string(GraphField.name, model.name);
  for (const initializer of model.initializers) {
    graph.child(GraphField.initializer, tensorMessage(initializer, initializer.name));
  }
  for (const input of model.inputs) graph.child(GraphField.input, valueMessage(input));
  for (const output of model.outputs) graph.child(GraphField.output, valueMessage(output));
  return graph;
}

function nodeMessage(node: OnnxNode): Message {
  const message = new Message();
  for (const input of node.inputs) message.string(NodeField.input, input);
  for (const output of node.outputs) message.string(NodeField.output, output);
  message.string(NodeField.name, node.name).string(NodeField.op, node.op);
  for (const [name, attribute] of sorted(node.attributes ?? {})) {
    message.child(NodeField.attribute, attributeMessage(name, attribute));
  }
  if (node.domain !== undefined) message.string(NodeField.domain, node.domain);
  return message;
}

function attributeMessage(name: string, attribute: Attribute): Message {
  const message = new Message().string(AttributeField.name, name);
  switch (attribute.kind) {
    case "int":
      message.int(AttributeField.int, attribute.value);
      break;
    case "float":
      message.float(AttributeField.float, attribute.value);
      break;
    case "string":
      message.string(AttributeField.string, attribute.value);
      break;
    case "ints":
      for (const value of attribute.value) message.int(AttributeField.ints, value);
      break;
    case "floats":
      for (const value of attribute.value) message.float(AttributeField.floats, value);
      break;
    case "tensor":
      message.child(AttributeField.tensor, tensorMessage(attribute.value));
      break;
    default:
      attribute satisfies never;
  }
  return message.int(AttributeField.kind, ATTRIBUTE_KINDS[attribute.kind]);
}

function tensorMessage(tensor: Omit<Initializer, "name">, name?: string): Message {
  const message = new Message();
  for (const size of tensor.shape) message.int(TensorField.dims, size);
  message.int(TensorField.type, ONNX_TYPES[tensor.type].code);
  if (name !== undefined) message.string(TensorField.name, name);
  return message.bytes(TensorField.rawData, tensor.data);
}

function valueMessage({ name, type, shape }: ValueInfo): Message {
  const dims = new Message();
  for (const dim of shape) dims.child(ShapeField.dim, dimMessage(dim));
  const tensorType = new Message()
    .int(TensorTypeField.element, ONNX_TYPES[type].code)
    .child(TensorTypeField.shape, dims);
  return new Message()
    .string(ValueField.name, name)
    .child(ValueField.type, new Message().child(TypeField.tensor, tensorType));
}

function dimMessage(dim: Dim): Message {
  const message = new Message();
  if (typeof dim === "number") return message.int(DimField.value, dim);
  return dim === "" ? message : message.string(DimField.param, dim);
}

function sorted<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** A protobuf message under construction: written bytes and borrowed chunks, in order. */
class Message {
  readonly #chunks: Uint8Array[] = [];
  readonly #writer = new BinaryWriter();
  #length = 0;

  int(field: number, value: number): this {
    if (!Number.isSafeInteger(value)) {
      throw failure({ what: "a number of the ONNX model is no integer", where: `field ${field}`, got: String(value) });
    }
    this.#writer.tag(field, WireType.Varint).int64(value);
    return this;
  }

  /** Rounds to float32; infinities and NaN are legal here. */
  float(field: number, value: number): this {
    this.#writer.tag(field, WireType.Bit32).float(Math.fround(value));
    return this;
  }

  string(field: number, value: string): this {
    this.#writer.tag(field, WireType.LengthDelimited).string(value);
    return this;
  }

  /** Borrows `data`: it must not change before `finish`. */
  bytes(field: number, data: Uint8Array): this {
    this.#header(field, data.byteLength);
    this.#append(data);
    return this;
  }

  child(field: number, message: Message): this {
    message.#flush();
    this.#header(field, message.#length);
    for (const chunk of message.#chunks) this.#append(chunk);
    return this;
  }

  finish(): Uint8Array {
    this.#flush();
    if (this.#length > MAX_BYTES) tooLarge(this.#length);
    const result = new Uint8Array(this.#length);
    let offset = 0;
    for (const chunk of this.#chunks) {
      result.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return result;
  }

  #header(field: number, length: number): void {
    if (length > MAX_BYTES) tooLarge(length);
    this.#writer.tag(field, WireType.LengthDelimited).uint32(length);
  }

  #append(chunk: Uint8Array): void {
    // Small chunks go through the writer: thousands of nodes must not become thousands of chunks at every level.
    if (chunk.byteLength < 1024) {
      this.#writer.raw(chunk);
      return;
    }
    this.#flush();
    this.#chunks.push(chunk);
    this.#length += chunk.byteLength;
  }

  #flush(): void {
    const written = this.#writer.finish();
    if (written.byteLength === 0) return;
    this.#chunks.push(written);
    this.#length += written.byteLength;
  }
}

function tooLarge(length: number): never {
  throw failure({
    what: "the ONNX model is too large for one file",
    expected: `at most ${MAX_BYTES} bytes`,
    got: `${length}`,
    todo: "Use a smaller model",
  });
}
