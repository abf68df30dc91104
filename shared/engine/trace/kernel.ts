/** What a recording kernel is: a TensorFlow.js kernel name and the ONNX operators that stand for it. */
import type { GraphBuilder, Value } from "../graph/graph.ts";

export interface TraceKernel {
  readonly name: string;
  readonly record: (
    g: GraphBuilder,
    inputs: Readonly<Record<string, Value>>,
    attrs: object,
  ) => Value | readonly Value[];
}

/**
 * Declares a kernel with its inputs and attributes typed. TensorFlow.js hands both over untyped; they are what its documentation of
 * the kernel says, and this is the one place where we take its word for it.
 */
export function kernel<Inputs extends string, Attrs extends object = object>(
  name: string,
  record: (g: GraphBuilder, inputs: Readonly<Record<Inputs, Value>>, attrs: Attrs) => Value | readonly Value[],
): TraceKernel {
  return { name, record: record as TraceKernel["record"] };
}
