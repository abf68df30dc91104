/** Turns a pure function into a graph by running it once on the recording backend. */
import { allocate } from "../graph/passes/fold-constants.ts";
import { cast } from "../graph/operators/elementwise.ts";
import { GraphBuilder, type Graph, type Value } from "../graph/graph.ts";
import { assignSymbols } from "../graph/symbols.ts";
import { optimize } from "../graph/optimize.ts";
import type { Arrays, PureFunction, Tensors } from "../engine.ts";
import type { OnnxType } from "../../onnx/model.ts";
import { tf } from "../tf.ts";
import { RecordingBackend, withRecording } from "./backend.ts";
import { onnxType } from "./types.ts";

/** As `ArraySpec`, with names for the sizes that stay open in an exported graph. int64 and uint8 reach the function as int32. */
export interface TraceInput {
  readonly shape: readonly (number | string)[];
  readonly dtype: "float32" | "int32" | "uint8" | "int64";
}

export interface TraceOptions {
  readonly inputs: Readonly<Record<string, TraceInput>>;
  /** Weights to freeze into the graph; the function sees them beside its inputs. */
  readonly constants?: {
    readonly spec: Readonly<Record<string, { shape: readonly number[] }>>;
    readonly values: Arrays;
  };
  /** Storage types of outputs where they differ from the tensor's (int32 → int64 or uint8). */
  readonly outputTypes?: Readonly<Record<string, OnnxType>>;
}

/**
 * @returns the optimised graph, its inputs and outputs under the names of the records.
 * @throws Error naming the op, if the function uses one that has no recording kernel.
 */
export function trace(fn: PureFunction, options: TraceOptions): Graph {
  const symbols = assignSymbols(
    Object.values(options.inputs).flatMap(({ shape }) => shape.filter((dim) => typeof dim === "string")),
  );
  const sizes = new Map([...symbols].map(([size, name]) => [name, size]));
  const builder = new GraphBuilder(symbols);
  const backend = new RecordingBackend(builder);
  const values = withRecording(backend, () => {
    const recorded: Record<string, Value> = {};
    tf.tidy(() => {
      const tensors: Record<string, tf.Tensor> = {};
      for (const [name, spec] of Object.entries(options.inputs)) {
        const shape = spec.shape.map((dim) => (typeof dim === "string" ? (sizes.get(dim) ?? 0) : dim));
        const value = builder.input(name, spec.dtype, shape);
        tensors[name] = backend.wrap(spec.dtype === "float32" ? value : cast(builder, value, "int32"));
      }
      Object.assign(tensors, freeze(backend, builder, options.constants));
      for (const [name, tensor] of Object.entries(call(fn, tensors))) {
        recorded[name] = cast(builder, backend.graphValue(tensor), options.outputTypes?.[name] ?? storageType(tensor));
      }
    });
    return recorded;
  });
  return optimize(builder.build(values));
}

function freeze(backend: RecordingBackend, builder: GraphBuilder, constants: TraceOptions["constants"]): Tensors {
  return Object.fromEntries(
    Object.entries(constants?.values ?? {}).map(([name, data]) => {
      const shape = constants?.spec[name]?.shape ?? [data.length];
      const type = data instanceof Float32Array ? "float32" : "int32";
      const held = allocate(type, data.length);
      held.set(data);
      return [name, backend.wrap(builder.dense(held, shape, type))];
    }),
  );
}

/** bool leaves a graph as uint8. */
const storageType = (tensor: tf.Tensor): OnnxType => (tensor.dtype === "bool" ? "uint8" : onnxType(tensor.dtype));

function call(fn: PureFunction, tensors: Tensors): Tensors {
  try {
    return fn(tensors);
  } catch (cause) {
    const missing =
      cause instanceof Error ? /kernel '(\w+)'.*(?:registered|backend)/i.exec(cause.message)?.[1] : undefined;
    if (missing === undefined || !(cause instanceof Error)) throw cause;
    const frames =
      cause.stack?.split("\n").filter((line) => /^\s+at /.test(line) && !/node_modules|node:/.test(line)) ?? [];
    throw new Error(
      `The op ${missing} has no recording kernel (called ${frames[0]?.trim() ?? "in the traced function"}). ` +
        `Write the function with other ops, or add the kernel to shared/engine/trace/kernels.`,
      { cause },
    );
  }
}
