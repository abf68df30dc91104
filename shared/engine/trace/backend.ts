/**
 * A TensorFlow.js backend that computes nothing: a tensor's data is a graph value, a kernel appends nodes. Autodiff, which
 * TensorFlow.js builds out of ordinary ops, is recorded like everything else.
 */
import { sameShape, type ConstantData, type GraphBuilder, type Value } from "../graph/graph.ts";
import { tf } from "../tf.ts";
import { KERNELS } from "./kernels/index.ts";
import type { TraceKernel } from "./kernel.ts";
import { onnxType, tensorType } from "./types.ts";

export const TRACE_BACKEND = "tessera-trace";

type DataId = tf.TensorInfo["dataId"];

export class RecordingBackend extends tf.KernelBackend {
  readonly #builder: GraphBuilder;
  readonly #values = new WeakMap<DataId, Value>();
  readonly #dense = new WeakMap<ConstantData, Value>();
  #count = 0;

  constructor(builder: GraphBuilder) {
    super();
    this.#builder = builder;
  }

  /** A tensor whose data is `value`. */
  wrap(value: Value): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(this.toInfo(value));
  }

  graphValue(tensor: tf.TensorInfo): Value {
    const value = this.#values.get(tensor.dataId);
    if (value === undefined) throw new Error("A tensor of another backend reached the trace.");
    return sameValue(value, tensor);
  }

  toInfo(value: Value): tf.TensorInfo {
    const dataId = {};
    this.#values.set(dataId, value);
    this.#count++;
    return { dataId, shape: [...value.shape], dtype: tensorType(value.type) };
  }

  record(
    definition: TraceKernel,
    inputs: Readonly<Record<string, unknown>>,
    attrs: object,
  ): tf.TensorInfo | tf.TensorInfo[] {
    const values: Record<string, Value> = {};
    for (const [name, input] of Object.entries(inputs)) {
      if (input !== undefined && input !== null) values[name] = this.graphValue(input as tf.TensorInfo);
    }
    const result = definition.record(this.#builder, values, attrs);
    return isList(result) ? result.map((value) => this.toInfo(value)) : this.toInfo(result);
  }

  override write(data: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): DataId {
    return this.toInfo(this.#constant(data, shape, dtype)).dataId;
  }

  override move(dataId: DataId, data: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): void {
    this.#values.set(dataId, this.#constant(data, shape, dtype));
    this.#count++;
  }

  #constant(data: tf.backend_util.BackendValues, shape: readonly number[], dtype: tf.DataType): Value {
    const type = onnxType(dtype);
    if (!(data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint8Array)) {
      throw new Error(`A constant of type ${dtype} cannot be recorded.`);
    }
    const [first = 0] = data;
    const uniform = data.length > 0 && data.every((x) => Object.is(x, first));
    if (uniform) return this.#builder.uniform(first, shape, type);
    // A function that hands in the same array twice (an attention mask) means the same constant.
    const known = this.#dense.get(data);
    if (known?.type === type && sameShape(known.shape, shape)) return known;
    const value = this.#builder.dense(data, shape, type);
    this.#dense.set(data, value);
    return value;
  }

  override readSync(): never {
    throw new Error("The function reads a tensor's values (dataSync, arraySync, print); a traced function must not.");
  }
  override read(): never {
    return this.readSync();
  }
  override incRef(): void {
    // Values live as long as the trace.
  }
  override disposeData(): boolean {
    return true;
  }
  override refCount(): number {
    return 1;
  }
  override numDataIds(): number {
    return this.#count;
  }
  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }
  override floatPrecision(): 32 {
    return 32;
  }
  override epsilon(): number {
    return 1e-7;
  }
  override timerAvailable(): boolean {
    return false;
  }
  override dispose(): void {
    // Nothing is held outside the trace.
  }
}

/** TensorFlow.js re-wraps data under another shape (`makeTensorFromDataId`): then the recorded value must already have that shape. */
function sameValue(value: Value, tensor: tf.TensorInfo): Value {
  if (value.shape.join() === tensor.shape.join()) return value;
  throw new Error(`A tensor of shape [${tensor.shape.join()}] shares the data of shape [${value.shape.join()}].`);
}

const isList = (result: Value | readonly Value[]): result is readonly Value[] => Array.isArray(result);

let current: RecordingBackend | undefined;
let installed = false;

/** Registers the kernels once; TensorFlow.js keeps its registries per backend name for the life of the process. */
function install(): void {
  if (installed) return;
  installed = true;
  for (const definition of KERNELS) {
    tf.registerKernel({
      kernelName: definition.name,
      backendName: TRACE_BACKEND,
      kernelFunc: ({ inputs, attrs, backend }) => {
        if (!(backend instanceof RecordingBackend))
          throw new Error("The recording kernels need the recording backend.");
        return backend.record(definition, inputs, attrs ?? {});
      },
    });
  }
}

/** Makes `backend` the active one while `body` runs. Synchronous: the active backend is global to the process. */
export function withRecording<T>(backend: RecordingBackend, body: () => T): T {
  if (current !== undefined) throw new Error("A trace is already running.");
  install();
  const previous = tf.getBackend();
  current = backend;
  tf.registerBackend(TRACE_BACKEND, () => backend);
  try {
    tf.setBackend(TRACE_BACKEND).catch(() => undefined);
    return body();
  } finally {
    current = undefined;
    if (previous !== "") tf.setBackend(previous).catch(() => undefined);
    tf.removeBackend(TRACE_BACKEND);
  }
}
