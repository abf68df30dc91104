/**
 * Runs an ONNX model: the only importer of onnxruntime-node, which is loaded at the first session and not before.
 * Knows nothing of what a model means; refuses feeds that do not fit the graph in our words instead of the runtime's.
 *
 * What the runtime does: `run` computes synchronously behind a `setImmediate` and so blocks the event loop for its length; inputs are
 * used where they lie (views too) and must not change until `run` resolves; outputs are fresh arrays.
 */
import { sizeOf } from "../records.ts";
import { failure, mismatch, TesseraError } from "../errors.ts";
import type { Dim, OnnxType, ValueInfo } from "./model.ts";
import { encodeModel } from "./write.ts";

import type * as Ort from "onnxruntime-node";

/** float32 → Float32Array, int32 → Int32Array, int64 → BigInt64Array, uint8 and bool → Uint8Array, int8 → Int8Array. */
export type TensorData = Float32Array | Int32Array | BigInt64Array | Uint8Array | Int8Array;

/** Row-major; a size of 0 is legal (an empty cache). */
export interface TensorValue {
  readonly type: OnnxType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface SessionOptions {
  /** Threads inside one operator; default: the runtime's choice, the physical cores. */
  readonly threads?: number;
  /** Default "cpu". Operators that another provider lacks run on the CPU. */
  readonly provider?: Provider;
  /** Graph rewriting by the runtime; default "all". */
  readonly optimization?: "disabled" | "basic" | "extended" | "all";
  /**
   * Whether the runtime lays out a run's temporaries ahead, in one block (default). Without, memory is used again as it falls free: half the peak of
   * a training graph, and no slower.
   */
  readonly memoryPlan?: boolean;
  /** Path prefix of a profile, written by `endProfiling`. */
  readonly profilePrefix?: string;
}

export type Provider = "cpu" | "webgpu" | "cuda";

export interface OnnxSession {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /**
   * @param fetches names of outputs to compute; default: all.
   * @throws mismatch if a feed is missing, unknown, or of another type, rank, size or length than the graph's input, or if two
   * dimensions of one name differ (the runtime lets that pass where a tensor is empty); failure if the runtime refuses or the
   * session was disposed.
   */
  run(feeds: Readonly<Record<string, TensorValue>>, fetches?: readonly string[]): Promise<Record<string, TensorValue>>;
  dispose(): Promise<void>;
  /** Present if `profilePrefix` was given. */
  endProfiling?(): void;
}

/** Fatal only: warnings are about graphs the runtime rewrites itself, and errors reach us as exceptions. */
const LOG_SEVERITY = 4;

/**
 * What the runtime must not do to a graph. Between bytes turned to float32 and back it would compute products and convolutions in integers, with int8
 * weights, which saturate on some processors (`quantize/saturation.ts`): a graph is computed in the arithmetic in which it is written.
 */
const AS_WRITTEN = { session: { disable_quant_qdq: "1" } };

/**
 * @param model bytes of an `.onnx` file. The runtime would follow references to other files in it: decode what you did not write
 * with `decodeModel` first, which refuses them.
 * @throws failure if the runtime, the provider or the model cannot be loaded, or a type is none of ours.
 */
export async function createSession(model: Uint8Array, options: SessionOptions = {}): Promise<OnnxSession> {
  const runtime = await loadRuntime();
  const provider = options.provider ?? "cpu";
  let session: Ort.InferenceSession;
  try {
    session = await runtime.InferenceSession.create(model, {
      executionProviders: provider === "cpu" ? ["cpu"] : [provider, "cpu"],
      graphOptimizationLevel: options.optimization ?? "all",
      logSeverityLevel: LOG_SEVERITY,
      enableMemPattern: options.memoryPlan ?? true,
      extra: AS_WRITTEN,
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      ...(options.profilePrefix === undefined
        ? {}
        : { enableProfiling: true, profileFilePrefix: options.profilePrefix }),
    });
  } catch (cause) {
    throw failure({
      what: `onnxruntime could not load the model on provider "${provider}": ${messageOf(cause)}`,
      ...(provider === "cpu" ? {} : { todo: "`tessera doctor` lists the providers of this machine" }),
      cause,
    });
  }
  return wrap(runtime, session, options.profilePrefix !== undefined);
}

/** Providers on which a one-node model could be loaded here, "cpu" first. */
export async function availableProviders(): Promise<readonly string[]> {
  const runtime = await loadRuntime();
  const found: string[] = ["cpu"];
  for (const { name } of runtime.listSupportedBackends()) {
    if (name !== "webgpu" && name !== "cuda") continue;
    try {
      const session = await createSession(probe(), { provider: name });
      await session.dispose();
      found.push(name);
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
    }
  }
  return found;
}

type Runtime = typeof Ort;

async function loadRuntime(): Promise<Runtime> {
  try {
    const runtime = await import("onnxruntime-node");
    runtime.env.logLevel = "fatal";
    return runtime;
  } catch (cause) {
    throw failure({
      what: `onnxruntime-node could not be loaded: ${messageOf(cause)}`,
      todo: "Run `npm ci` on this machine; `tessera doctor` says what is missing",
      cause,
    });
  }
}

function wrap(runtime: Runtime, session: Ort.InferenceSession, profiled: boolean): OnnxSession {
  const inputs = session.inputMetadata.map(toValueInfo);
  const outputs = session.outputMetadata.map(toValueInfo);
  const names = outputs.map(({ name }) => name);
  let open = true;
  return {
    inputs,
    outputs,
    async run(feeds, fetches = names) {
      if (!open) throw failure({ what: "the session was disposed", todo: "Create a new one" });
      checkFeeds(inputs, feeds);
      checkFetches(names, fetches);
      const tensors = Object.fromEntries(
        inputs.map(({ name }) => {
          const feed = required(feeds, name);
          return [name, new runtime.Tensor(feed.type, feed.data, feed.shape)];
        }),
      );
      let results: Ort.InferenceSession.ReturnType;
      try {
        results = await session.run(tensors, fetches, { logSeverityLevel: LOG_SEVERITY });
      } catch (cause) {
        throw failure({ what: `onnxruntime could not run the model: ${messageOf(cause)}`, cause });
      }
      return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, toTensorValue(name, tensor)]));
    },
    async dispose() {
      if (!open) return;
      open = false;
      await session.release();
    },
    ...(profiled ? { endProfiling: () => session.endProfiling() } : {}),
  };
}

function checkFeeds(inputs: readonly ValueInfo[], feeds: Readonly<Record<string, TensorValue>>): void {
  const sizes = new Map<string, number>();
  for (const input of inputs) checkFeed(input, required(feeds, input.name), sizes);
  for (const name of Object.keys(feeds)) {
    if (!inputs.some((input) => input.name === name)) {
      const expected = inputs.map((input) => input.name).join(", ") || "no feeds";
      throw mismatch({ what: "the graph has no such input", where: `feed "${name}"`, expected });
    }
  }
}

/** @param sizes of the named dimensions seen so far; grows. */
function checkFeed({ name, type, shape }: ValueInfo, feed: TensorValue, sizes: Map<string, number>): void {
  const where = `feed "${name}"`;
  if (feed.type !== type || !(feed.data instanceof ARRAY_OF[type])) {
    const got = `${feed.type} as ${feed.data.constructor.name}`;
    throw mismatch({ what: "wrong type", where, expected: `${type} as ${ARRAY_OF[type].name}`, got });
  }
  const fits = shape.length === feed.shape.length && feed.shape.every((size, axis) => fitsDim(size, shape[axis]));
  if (!fits) throw mismatch({ what: "wrong shape", where, expected: bracketed(shape), got: bracketed(feed.shape) });
  for (const [axis, dim] of shape.entries()) {
    if (typeof dim === "number" || dim === "") continue;
    const size = feed.shape[axis] ?? 0;
    const bound = sizes.get(dim) ?? size;
    if (bound !== size) {
      throw mismatch({ what: `dimension ${dim} differs between feeds`, where, expected: `${bound}`, got: `${size}` });
    }
    sizes.set(dim, size);
  }
  const count = sizeOf(feed.shape);
  if (feed.data.length !== count) {
    const expected = `${count} elements for shape ${bracketed(feed.shape)}`;
    throw mismatch({ what: "wrong length", where, expected, got: `${feed.data.length}` });
  }
}

function fitsDim(size: number, dim: Dim | undefined): boolean {
  return Number.isSafeInteger(size) && size >= 0 && (typeof dim === "string" || dim === size);
}

function checkFetches(names: readonly string[], fetches: readonly string[]): void {
  for (const name of fetches) {
    if (names.includes(name)) continue;
    throw mismatch({ what: "the graph has no such output", where: `fetch "${name}"`, expected: names.join(", ") });
  }
}

function required(feeds: Readonly<Record<string, TensorValue>>, name: string): TensorValue {
  const feed = Object.hasOwn(feeds, name) ? feeds[name] : undefined;
  if (feed === undefined) throw mismatch({ what: "a feed is missing", where: `feed "${name}"` });
  return feed;
}

const ARRAY_OF = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
} as const satisfies Record<OnnxType, unknown>;

function toOnnxType(where: string, type: string): OnnxType {
  if (Object.hasOwn(ARRAY_OF, type)) return type as OnnxType;
  const expected = Object.keys(ARRAY_OF).join(", ");
  throw failure({ what: "the graph uses a type that Tessera does not carry", where, expected, got: type });
}

function toValueInfo(metadata: Ort.InferenceSession.ValueMetadata): ValueInfo {
  const where = `graph value "${metadata.name}"`;
  if (!metadata.isTensor) throw failure({ what: "a graph input or output is no tensor", where });
  return { name: metadata.name, type: toOnnxType(where, metadata.type), shape: [...metadata.shape] };
}

function toTensorValue(name: string, tensor: Ort.InferenceSession.OnnxValueMapType[string]): TensorValue {
  const type = toOnnxType(`output "${name}"`, tensor.type);
  const data: unknown = tensor.data;
  if (!(data instanceof ARRAY_OF[type])) throw failure({ what: "unexpected output array", where: `output "${name}"` });
  return { type, shape: tensor.dims, data };
}

function bracketed(shape: readonly Dim[]): string {
  return `[${shape.map((dim) => (dim === "" ? "?" : String(dim))).join(", ")}]`;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message.trim().replace(/[.]$/, "") : String(cause);
}

/** The smallest model there is: y = x. */
function probe(): Uint8Array {
  return encodeModel({
    name: "probe",
    irVersion: 8,
    opsets: { "": 17 },
    producer: "tessera",
    inputs: [{ name: "x", type: "float32", shape: [1] }],
    outputs: [{ name: "y", type: "float32", shape: [1] }],
    initializers: [],
    nodes: [{ op: "Identity", name: "identity", inputs: ["x"], outputs: ["y"] }],
  });
}
