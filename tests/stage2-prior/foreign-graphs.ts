/** ONNX files as others make them: small ones by hand, and exported ones that something was done to. */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Attribute, Initializer, OnnxModel, OnnxNode } from "../../shared/onnx/model.ts";
import { decodeModel } from "../../shared/onnx/read.ts";
import { GraphField, ModelField, OpsetField, TensorField } from "../../shared/onnx/schema.ts";
import { encodeModel } from "../../shared/onnx/write.ts";
import { exportCausal, exportFullGrid } from "../../stage2-prior/export.ts";
import type { ObjectiveName } from "../../stage2-prior/signature.ts";
import { evaluationWeights } from "../../stage2-prior/training-step.ts";
import { bytesOf } from "../shared/onnx/models.ts";
import { untrained } from "./tiny-artifact.ts";
import { tinyPrior } from "./tiny-config.ts";

/** K, L */
export const [CODES, LENGTH] = [7, 16];

export function exported(objective: ObjectiveName, overrides: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const config = tinyPrior({ objective, ...overrides });
  const { spec, values } = untrained(config).state;
  const weights = { spec: evaluationWeights(spec), values: evaluationWeights(values) };
  return objective === "causal" ? exportCausal(config, weights) : exportFullGrid(config, weights);
}

export const edited = (graph: Uint8Array, change: (model: OnnxModel) => Partial<OnnxModel>): Uint8Array => {
  const model = decodeModel(graph, "graph");
  return encodeModel({ ...model, ...change(model) });
};

/** The same graph with `nodes` between what was its output `name`, now called "inner", and a new output of that name. */
export function grafted(
  graph: Uint8Array,
  name: string,
  nodes: readonly OnnxNode[],
  initializers: readonly Initializer[] = [],
): Uint8Array {
  const rename = (value: string): string => (value === name ? "inner" : value);
  return edited(graph, (model) => ({
    nodes: [
      ...model.nodes.map((old) => ({ ...old, inputs: old.inputs.map(rename), outputs: old.outputs.map(rename) })),
      ...nodes,
    ],
    initializers: [...model.initializers, ...initializers],
  }));
}

export const node = (
  op: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, Attribute>> = {},
): OnnxNode => ({ op, name: `${op} ${output}`, inputs, outputs: [output], attributes });
export const int = (value: number): Attribute => ({ kind: "int", value });
export const ints = (...value: number[]): Attribute => ({ kind: "ints", value });

export const floats = (name: string, shape: readonly number[], values: readonly number[]): Initializer => ({
  ...{ name, type: "float32", shape },
  data: bytesOf(Float32Array.from(values)),
});
export const integers = (name: string, values: readonly number[]): Initializer => ({
  ...{ name, type: "int64", shape: [values.length] },
  data: bytesOf(BigInt64Array.from(values, BigInt)),
});

/** [rows, K], no two rows alike. */
export const table = (name: string, rows: number): Initializer =>
  floats(
    name,
    [rows, CODES],
    Array.from({ length: rows * CODES }, (_, i) => Math.sin(3 * i + 1)),
  );

/** logits [N, L, K]: a row of a table for the id at the position itself, plus one for the class where `classes` > 0. */
export function lookup(options: { ids?: number; classes?: number; batch?: string | number } = {}): Uint8Array {
  const { ids = CODES + 1, classes = 0, batch = "N" } = options;
  const conditional = classes > 0;
  return encodeModel({
    ...{ name: "lookup", irVersion: 8, opsets: { "": 17 }, producer: "somebody" },
    inputs: [
      { name: "tokens", type: "int64", shape: [batch, LENGTH] },
      ...(conditional ? [{ name: "class", type: "int64", shape: [batch] } as const] : []),
    ],
    outputs: [{ name: "logits", type: "float32", shape: [batch, LENGTH, CODES] }],
    initializers: [
      table("codes", ids),
      ...(conditional ? [table("classes", classes), integers("axis", [1])] : []),
    ],
    nodes: conditional
      ? [
          node("Gather", ["codes", "tokens"], "own"),
          node("Gather", ["classes", "class"], "of-class"),
          node("Unsqueeze", ["of-class", "axis"], "row"),
          node("Add", ["own", "row"], "logits"),
        ]
      : [node("Gather", ["codes", "tokens"], "logits")],
  });
} // prettier-ignore

/** A model whose one weight lies in another file. */
export function withExternalData(): Uint8Array {
  const child = (writer: BinaryWriter, field: number, fill: (inner: BinaryWriter) => BinaryWriter): BinaryWriter =>
    writer.tag(field, WireType.LengthDelimited).bytes(fill(new BinaryWriter()).finish());
  const varint = (writer: BinaryWriter, field: number, value: number): BinaryWriter =>
    writer.tag(field, WireType.Varint).int64(value);
  const model = varint(new BinaryWriter(), ModelField.irVersion, 8);
  child(model, ModelField.opset, (opset) => varint(opset, OpsetField.version, 17));
  child(model, ModelField.graph, (graph) =>
    child(graph, GraphField.initializer, (tensor) =>
      varint(varint(tensor, TensorField.type, 1), TensorField.location, 1),
    ),
  );
  return model.finish();
}
