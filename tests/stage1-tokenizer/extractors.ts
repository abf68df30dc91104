/** Feature extractors of a few nodes, and tokenizers with one in their folder. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256Hex } from "../../shared/fingerprint.ts";
import type { Attribute, Dim, OnnxModel, OnnxNode, OnnxType } from "../../shared/onnx/model.ts";
import { encodeModel } from "../../shared/onnx/write.ts";

const int = (value: number): Attribute => ({ kind: "int", value });
const ints = (...value: readonly number[]): Attribute => ({ kind: "ints", value });
export const node = (op: string, input: string, output: string, attributes: OnnxNode["attributes"] = {}): OnnxNode =>
  ({ op, name: `${op} ${output}`, inputs: [input], outputs: [output], attributes }); // prettier-ignore

/** A graph from `image` to `features`, open in N. */
export function extractor(
  image: { readonly type: OnnxType; readonly shape: readonly Dim[] },
  nodes: readonly OnnxNode[],
  shape: readonly Dim[] = ["N", "F"],
): OnnxModel {
  return {
    name: "extractor",
    irVersion: 8,
    opsets: { "": 17 },
    producer: "somebody",
    inputs: [{ name: "image", ...image }],
    outputs: [{ name: "features", type: "float32", shape }],
    initializers: [],
    nodes,
  };
}

export const TO_FLOAT = node("Cast", "image", "levels", { to: int(1) });

/** uint8 [N, H, W, 3] → the mean level of each channel, [N, 3]. */
export function channelMeans(height: Dim, width: Dim, count: Dim = "N"): OnnxModel {
  const mean = node("ReduceMean", "levels", "features", { axes: ints(1, 2), keepdims: int(0) });
  return extractor({ type: "uint8", shape: [count, height, width, 3] }, [TO_FLOAT, mean], [count, 3]);
}

/** float32 [N, 3, H, W] → itself: what comes out is the averages of what went in. */
export function planes(height: Dim, width: Dim, count: Dim = "N"): OnnxModel {
  const shape = [count, 3, height, width];
  return extractor({ type: "float32", shape }, [node("Identity", "image", "features")], shape);
}

/** float32 [N, 3, H, W] → every value of it, [N, 3·H·W]. */
export function values(height: Dim, width: Dim, count: Dim = "N"): OnnxModel {
  const flat = node("Flatten", "image", "features", { axis: int(1) });
  return extractor({ type: "float32", shape: [count, 3, height, width] }, [flat], [count, "F"]);
}

export function writeModel(path: string, model: OnnxModel): string {
  writeFileSync(path, encodeModel(model));
  return path;
}

/** Replaces the features.onnx of a published tokenizer by `model`. */
export function replaceFeatures(directory: string, model: OnnxModel): string {
  const bytes = encodeModel(model);
  writeFileSync(join(directory, "features.onnx"), bytes);
  return changeFiles(directory, (files) => ({
    ...files,
    "features.onnx": { sha256: sha256Hex(bytes), bytes: bytes.length },
  }));
}

/** Takes features.onnx out of a published tokenizer: what versions before it published. */
export function withoutFeatures(directory: string): string {
  rmSync(join(directory, "features.onnx"));
  return changeFiles(directory, (files) =>
    Object.fromEntries(Object.entries(files).filter(([name]) => name !== "features.onnx")),
  );
}

type Files = Readonly<Record<string, unknown>>;

function changeFiles(directory: string, change: (files: Files) => Files): string {
  const path = join(directory, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8")) as { files: Files };
  writeFileSync(path, JSON.stringify({ ...manifest, files: change(manifest.files) }));
  return directory;
}
