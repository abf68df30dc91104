import { describe, expect, test } from "vitest";

import type { TesseraError } from "../../../shared/errors.ts";
import { checkModel } from "../../../shared/onnx/check.ts";
import type { OnnxModel, OnnxNode } from "../../../shared/onnx/model.ts";
import { bytesOf, CACHE, LINEAR } from "./models.ts";

const [weight, bias] = LINEAR.initializers as [OnnxModel["initializers"][number], OnnxModel["initializers"][number]];
const gemm = LINEAR.nodes[0] as OnnxNode;
const relu: OnnxNode = { op: "Relu", name: "relu", inputs: ["h"], outputs: ["y"] };
const hidden: OnnxNode = { ...gemm, outputs: ["h"] };
const fused: OnnxNode = { ...gemm, op: "FusedMatMul", domain: "com.microsoft" };

test.each([LINEAR, CACHE, { ...LINEAR, nodes: [hidden, relu] }])("a sound model passes", (model) => {
  expect(() => checkModel(model)).not.toThrow();
});

describe("refused with exit code 4", () => {
  test.each<[string, Partial<OnnxModel>, RegExp]>([
    ["another opset", { opsets: { "": 18 } }, /expected 17, got 18/],
    ["no standard opset", { opsets: { "com.microsoft": 1 } }, /got none/],
    ["a foreign opset", { opsets: { "": 17, "com.microsoft": 1 } }, /"com.microsoft"/],
    ["a new IR", { irVersion: 11 }, /expected 3 to 10, got 11/],
    ["nodes out of order", { nodes: [relu, hidden] }, /node 0 "relu" \(Relu\).*"h" is not defined before/],
    ["an input from nowhere", { nodes: [{ ...gemm, inputs: ["x", "v"] }] }, /"v" is not defined/],
    ["one node name twice", { nodes: [hidden, { ...relu, name: "gemm" }] }, /name is used twice/],
    ["one value name twice", { nodes: [gemm, { ...gemm, name: "other" }] }, /"y" is defined twice/],
    ["a node that redefines an input", { nodes: [{ ...gemm, outputs: ["x"] }] }, /"x" is defined twice/],
    ["an unknown operator", { nodes: [{ ...gemm, op: "Gemmm" }] }, /"Gemmm" is no operator/],
    ["an operator of a later opset", { nodes: [{ ...gemm, op: "Gelu" }] }, /"Gelu" is no operator/],
    ["random operators", { nodes: [{ ...gemm, op: "RandomNormalLike" }] }, /"RandomNormalLike" is no operator/],
    ["a foreign operator", { nodes: [fused] }, /belongs to "com.microsoft"/],
    ["a node without output", { nodes: [gemm, { ...relu, inputs: ["y"], outputs: [] }] }, /no output/],
    ["too few bytes", { initializers: [weight, { ...bias, shape: [3] }] }, /initializer "b".*expected 12 .*got 8/],
    [
      "an infinite weight",
      { initializers: [weight, { ...bias, data: bytesOf(Float32Array.of(1, -Infinity)) }] },
      /initializer "b".*element 1 is not finite/,
    ],
    [
      "a NaN in a tensor attribute",
      {
        nodes: [
          gemm,
          {
            op: "Constant",
            name: "k",
            inputs: [],
            outputs: ["k"],
            attributes: {
              value: { kind: "tensor", value: { type: "float32", shape: [], data: bytesOf(Float32Array.of(NaN)) } },
            },
          },
        ],
      },
      /attribute "value".*not finite/,
    ],
    [
      "an infinite attribute",
      { nodes: [{ ...gemm, attributes: { alpha: { kind: "float", value: Infinity } } }] },
      /attribute "alpha".*not finite/,
    ],
    [
      "a bool of 2",
      { initializers: [weight, bias, { name: "m", type: "bool", shape: [1], data: Uint8Array.of(2) }] },
      /bool/,
    ],
    ["no output", { outputs: [] }, /no output/],
    ["an output nobody makes", { outputs: [{ name: "z", type: "float32", shape: [1] }] }, /"z".*nothing produces/],
    ["an unnamed dimension", { inputs: [{ name: "x", type: "float32", shape: ["", 3] }] }, /neither size nor name/],
  ])("%s", (_, change, message) => {
    const check = (): void => checkModel({ ...LINEAR, ...change });
    expect(check).toThrow(message);
    expect(check).toThrow(expect.objectContaining({ exitCode: 4 }) as TesseraError);
  });
});

test("an allowed domain passes if its operator set is imported", () => {
  const allowDomains = ["com.microsoft"];
  expect(() => checkModel({ ...LINEAR, nodes: [fused] }, { allowDomains })).toThrow(/imports no operator set/);
  const opsets = { "": 17, "com.microsoft": 1 };
  expect(() => checkModel({ ...LINEAR, opsets, nodes: [fused] }, { allowDomains })).not.toThrow();
});

test("a misaligned weight is checked like any other", () => {
  const data = new Uint8Array(9);
  data.set(bytesOf(Float32Array.of(1, NaN)), 1);
  const initializers = [weight, { ...bias, data: data.subarray(1) }];
  expect(() => checkModel({ ...LINEAR, initializers })).toThrow(/element 1 is not finite/);
});
