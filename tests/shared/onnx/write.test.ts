import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { decodeModel } from "../../../shared/onnx/read.ts";
import { encodeModel } from "../../../shared/onnx/write.ts";
import { anyModel, CACHE, LINEAR, pythonWith } from "./models.ts";

describe("encodeModel", () => {
  test("decoding gives the model back", () => {
    fc.assert(
      fc.property(anyModel, (model) => {
        expect(decodeModel(encodeModel(model), "m.onnx")).toEqual(model);
      }),
      { numRuns: 300 },
    );
  });

  test("the order of keys in records does not change the bytes", () => {
    const reversed = {
      ...LINEAR,
      metadata: Object.fromEntries(Object.entries(LINEAR.metadata ?? {}).reverse()),
      nodes: LINEAR.nodes.map((node) => ({
        ...node,
        attributes: Object.fromEntries(Object.entries(node.attributes ?? {}).reverse()),
      })),
    };
    expect(encodeModel(reversed)).toEqual(encodeModel(LINEAR));
  });

  test("a large weight arrives whole, and decoding it copies nothing", () => {
    const data = Uint8Array.from({ length: 4 * 300_000 }, (_, i) => (i * 31) & 0x3f);
    const bytes = encodeModel({ ...LINEAR, initializers: [{ name: "w", type: "float32", shape: [300_000], data }] });
    const [weight] = decodeModel(bytes, "m.onnx").initializers;
    expect(Buffer.compare(weight?.data ?? new Uint8Array(), data)).toBe(0);
    expect(weight?.data.buffer).toBe(bytes.buffer);
  });

  test.each([0.5, Number.NaN, 2 ** 60])("an integer field refuses %s", (irVersion) => {
    expect(() => encodeModel({ ...LINEAR, irVersion })).toThrow(/no integer/);
  });
});

const REPORT = `
import json, sys, onnx
from onnx import numpy_helper
reports = []
for path in sys.argv[1:]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    reports.append({
        "metadata": {entry.key: entry.value for entry in model.metadata_props},
        "opset": model.opset_import[0].version,
        "doc": model.doc_string,
        "producer": model.producer_name,
        "inputs": [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input],
        "weights": {w.name: numpy_helper.to_array(w).tolist() for w in model.graph.initializer},
    })
print(json.dumps(reports))
`;

test("Python's onnx accepts our files and reads what they say", async ({ skip }) => {
  const python = pythonWith("onnx");
  if (python === undefined) {
    skip("no Python with the onnx package here (Debian: python3-onnx)");
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "tessera-onnx-"));
  try {
    const paths = [join(folder, "linear.onnx"), join(folder, "cache.onnx")] as const;
    await writeFile(paths[0], encodeModel(LINEAR));
    await writeFile(paths[1], encodeModel(CACHE));
    const { stdout, stderr, status } = spawnSync(python, ["-c", REPORT, ...paths], { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      {
        metadata: LINEAR.metadata,
        opset: 17,
        doc: LINEAR.doc,
        producer: "tessera",
        inputs: [["N", 3]],
        weights: {
          w: [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
          b: [0.5, -0.5],
        },
      },
      {
        metadata: {},
        opset: 17,
        doc: "",
        producer: "tessera",
        inputs: [
          ["N", "P", 2],
          ["N", 1, 2],
        ],
        weights: {},
      },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
