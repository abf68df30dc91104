/** Pure functions as ONNX files: the same trace that training runs, with the weights frozen in. Knows no model. */
import { checkModel } from "../onnx/check.ts";
import { encodeModel } from "../onnx/write.ts";
import type { OnnxType } from "../onnx/model.ts";
import type { Arrays, PureFunction, Signature } from "./engine.ts";
import { toOnnx } from "./graph/to-onnx.ts";
import { trace, type TraceInput } from "./trace/trace.ts";

export interface ExportOptions {
  readonly name: string;
  /** One paragraph for people: what goes in, what comes out. */
  readonly doc: string;
  /** A string in a shape is an open size; equal strings are equal sizes. */
  readonly inputs: Readonly<Record<string, TraceInput>>;
  readonly outputTypes?: Readonly<Record<string, OnnxType>>;
  /** The weights, which `fn` finds beside its inputs. */
  readonly weights: { readonly spec: Signature; readonly values: Arrays };
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Bytes of an `.onnx` file: standard operators of opset 17 only, checked.
 * @throws mismatch if a weight is not finite or the graph is not what the checker wants.
 */
export function exportFunction(fn: PureFunction, options: ExportOptions): Uint8Array {
  const { name, doc, inputs, outputTypes = {}, weights, metadata = {} } = options;
  const graph = trace(fn, { inputs, outputTypes, constants: weights });
  const model = toOnnx(graph, { name, doc, metadata });
  checkModel(model);
  return encodeModel(model);
}
