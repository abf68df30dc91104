/** Which TensorFlow.js types have an ONNX type. */
import type { OnnxType } from "../../onnx/model.ts";
import type { tf } from "../tf.ts";

export function onnxType(dtype: tf.DataType): "float32" | "int32" | "bool" {
  if (dtype === "float32" || dtype === "int32" || dtype === "bool") return dtype;
  throw new Error(`Tensors of type ${dtype} cannot be recorded.`);
}

export function tensorType(type: OnnxType): "float32" | "int32" | "bool" {
  if (type === "float32" || type === "int32" || type === "bool") return type;
  throw new Error(`A recorded value of type ${type} cannot become a tensor.`);
}
