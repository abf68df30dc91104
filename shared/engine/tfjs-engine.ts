/**
 * Runs pure functions eagerly on a TensorFlow.js backend: CUDA through tfjs-node-gpu, or tfjs-node. The pure-JS `cpu` backend is the
 * oracle of the tests and nothing else.
 */
import util from "node:util";

import { failure, usageError } from "../errors.ts";
import { checkArrays, checkUpdate } from "./arrays.ts";
import type {
  ArraySpec,
  Arrays,
  Compiled,
  Engine,
  NumericArray,
  PureFunction,
  Signature,
  Tensors,
  Trainer,
  TrainingStep,
} from "./engine.ts";
import { tf } from "./tf.ts";

export type TfjsBackend = "gpu" | "node" | "oracle";

function toTensor(array: NumericArray, spec: ArraySpec): tf.Tensor {
  // TensorFlow.js keeps the array it is given: copy, or a caller's later write would change the tensor.
  const data = spec.dtype === "uint8" ? Int32Array.from(array) : array.slice();
  return tf.tensor(data, [...spec.shape], spec.dtype === "float32" ? "float32" : "int32");
}

const toTensors = (arrays: Arrays, signature: Signature): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(signature).flatMap(([name, spec]) => {
      const array = arrays[name];
      return array === undefined ? [] : [[name, toTensor(array, spec)] as const];
    }),
  );

async function toArrays(tensors: Tensors): Promise<Record<string, NumericArray>> {
  const entries = Object.entries(tensors).map(async ([name, tensor]) => {
    const data = await tensor.data();
    return [name, data.slice()] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

const dispose = (tensors: Tensors): void => tf.dispose(Object.values(tensors));

/** Disposes `tensors` but those that are in `kept`: a step may hand an entry on as it is. */
function disposeUnless(kept: Tensors, tensors: Tensors): void {
  const held = new Set(Object.values(kept));
  tf.dispose(Object.values(tensors).filter((tensor) => !held.has(tensor)));
}

class TfjsTrainer implements Trainer {
  readonly #step: TrainingStep;
  readonly #spec: Signature;
  readonly #batch: Signature;
  #state: Tensors;

  constructor(step: TrainingStep, spec: Signature, batch: Signature, values: Arrays) {
    checkArrays(values, spec, "initial state");
    this.#step = step;
    this.#spec = spec;
    this.#batch = batch;
    this.#state = toTensors(values, spec);
  }

  async step(batch: Arrays): Promise<Arrays> {
    checkArrays(batch, this.#batch, "batch");
    const { next, statistics, metrics } = tidyRecords(() => {
      const { gradients, statistics, metrics } = this.#step.gradients(this.#state, toTensors(batch, this.#batch));
      return { next: this.#step.update(this.#state, gradients, statistics), statistics, metrics };
    });
    // Metrics may be state entries: reading them starts before the state is replaced.
    const report = this.#take(metrics, next);
    this.#replace(next);
    disposeUnless(next, statistics);
    return report;
  }

  async gradients(batch: Arrays): Promise<{ gradients: Arrays; statistics: Arrays; metrics: Arrays }> {
    checkArrays(batch, this.#batch, "batch");
    const records = tidyRecords(() => this.#step.gradients(this.#state, toTensors(batch, this.#batch)));
    // One tensor may stand in two of the records: all are read before any is let go.
    const [gradients, statistics, metrics] = await Promise.all([
      this.#take(records.gradients),
      this.#take(records.statistics),
      this.#take(records.metrics),
    ]);
    return { gradients, statistics, metrics };
  }

  async update(gradients: Arrays, statistics: Arrays): Promise<void> {
    const { next } = tidyRecords(() => {
      const shapes = this.#shapes;
      checkArrays(gradients, shapes.gradients, "gradients");
      checkArrays(statistics, shapes.statistics, "statistics");
      return {
        next: this.#step.update(
          this.#state,
          toTensors(gradients, shapes.gradients),
          toTensors(statistics, shapes.statistics),
        ),
      };
    });
    this.#replace(next);
  }

  state(): Promise<Arrays> {
    return toArrays(this.#state);
  }

  async load(state: Arrays): Promise<void> {
    checkArrays(state, this.#spec, "state");
    dispose(this.#state);
    this.#state = toTensors(state, this.#spec);
  }

  async dispose(): Promise<void> {
    dispose(this.#state);
  }

  #halves: { gradients: Signature; statistics: Signature } | undefined;

  /** Shapes of the first half's outputs, found once on a batch of zeros. */
  get #shapes(): { gradients: Signature; statistics: Signature } {
    if (this.#halves !== undefined) return this.#halves;
    const specOf = (record: Tensors): Signature =>
      Object.fromEntries(
        Object.entries(record).map(([name, { shape, dtype }]) => [
          name,
          { shape, dtype: dtype === "float32" ? "float32" : "int32" } as const,
        ]),
      );
    const zeros = Object.fromEntries(
      Object.entries(this.#batch).map(([name, { shape, dtype }]) => [
        name,
        tf.zeros([...shape], dtype === "float32" ? "float32" : "int32"),
      ]),
    );
    const records = this.#step.gradients(this.#state, zeros);
    this.#halves = { gradients: specOf(records.gradients), statistics: specOf(records.statistics) };
    for (const record of Object.values<Tensors>({ ...records })) disposeUnless(this.#state, record);
    return this.#halves;
  }

  #replace(next: Tensors): void {
    checkUpdate(next, this.#spec);
    disposeUnless(next, this.#state);
    this.#state = next;
  }

  /** Values of what a step returned; the tensors are let go unless `state` holds them too. */
  async #take(tensors: Tensors, state = this.#state): Promise<Arrays> {
    const arrays = await toArrays(tensors);
    disposeUnless(state, tensors);
    return arrays;
  }
}

/**
 * `tf.tidy` over records of records of tensors. By-products of a gradient (`tf.keep` in shared/nn/gradients.ts) outlive any tidy, so
 * statistics and metrics are let go by hand.
 */
function tidyRecords<T extends object>(body: () => T): T {
  return tf.tidy(body as unknown as () => tf.TensorContainer) as unknown as T;
}

function compile(fn: PureFunction, signature: Signature): Compiled {
  return {
    run: async (inputs) => {
      checkArrays(inputs, signature, "compiled function");
      const outputs = tidyRecords(() => fn(toTensors(inputs, signature)));
      const arrays = await toArrays(outputs);
      dispose(outputs);
      return arrays;
    },
    dispose: () => Promise.resolve(),
  };
}

/**
 * @param backend "gpu" wants CUDA and refuses to fall back to the CPU silently; "node" is TensorFlow's C library on the CPU.
 * @throws failure if the package cannot be loaded or finds no GPU.
 */
export async function createTfjsEngine(backend: TfjsBackend): Promise<Engine> {
  const description = await selectBackend(backend);
  return {
    description,
    compile: (fn, inputs) => Promise.resolve(compile(fn, inputs)),
    createTrainer: (step, { spec, values }, batch) => Promise.resolve(new TfjsTrainer(step, spec, batch, values)),
    dispose: () => Promise.resolve(),
  };
}

/** tfjs-node 4.22 calls two functions that Node 23 removed from `util`. */
function restoreRemovedUtilities(): void {
  const utilities = util as unknown as Record<string, unknown>;
  utilities["isNullOrUndefined"] ??= (x: unknown) => x === null || x === undefined;
  utilities["isArray"] ??= Array.isArray;
}

async function selectBackend(backend: TfjsBackend): Promise<string> {
  switch (backend) {
    case "oracle":
      await tf.setBackend("cpu");
      return "tfjs (pure JavaScript, test oracle)";
    case "gpu":
    case "node": {
      const name = backend === "gpu" ? "@tensorflow/tfjs-node-gpu" : "@tensorflow/tfjs-node";
      restoreRemovedUtilities();
      try {
        await import(name);
      } catch (cause) {
        const todo =
          "Run `npm run setup:gpu` on a machine with network access, or use the default engine (--engine onnx). `tessera doctor` says what is missing";
        throw failure({ what: `${name} cannot be loaded`, where: "engine tfjs", todo, cause });
      }
      await tf.setBackend("tensorflow");
      const native = tf.backend() as unknown as { isUsingGpuDevice?: boolean };
      if (backend === "gpu" && native.isUsingGpuDevice !== true) {
        const todo = "Install CUDA 11.2 and cuDNN 8.1, or choose --engine onnx";
        throw failure({ what: "libtensorflow found no GPU and would compute on the CPU", where: "engine tfjs", todo });
      }
      return `tfjs (${name})`;
    }
    default:
      backend satisfies never;
      throw usageError({ what: "unknown TensorFlow.js backend", got: String(backend), expected: "gpu, node" });
  }
}
