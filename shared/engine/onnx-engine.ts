/**
 * The default engine: traces a pure function once and lets onnxruntime run the graph. Knows no model.
 *
 * A training step becomes one graph (gradients and update fused) for `step`, and two more, traced only when somebody asks for the
 * halves, for `gradients` and `update`.
 */
import { encodeModel } from "../onnx/write.ts";
import { createSession, type OnnxSession, type SessionOptions, type TensorValue } from "../onnx/session.ts";
import type { OnnxType } from "../onnx/model.ts";
import { invariant } from "../errors.ts";
import { group, prefix } from "../records.ts";
import { checkArrays, checkUpdate } from "./arrays.ts";
import type {
  Arrays,
  Compiled,
  Engine,
  NumericArray,
  PureFunction,
  Signature,
  Trainer,
  TrainingStep,
} from "./engine.ts";
import { toOnnx } from "./graph/to-onnx.ts";
import { trace } from "./trace/trace.ts";

/** Inputs and outputs share one name space in ONNX, and a state entry is both. */
const OUTPUT = "next";

/** Traces `fn` and compiles the graph, its shapes baked in. What a training step keeps for its backward pass is too much to be planned in one block. */
async function compileGraph(fn: PureFunction, inputs: Signature, options: SessionOptions): Promise<OnnxSession> {
  const model = toOnnx(
    trace((tensors) => prefix(fn(tensors), OUTPUT), { inputs }),
    { name: "tessera" },
  );
  return createSession(encodeModel(model), { ...options, memoryPlan: false });
}

function toFeeds(arrays: Arrays, signature: Signature): Record<string, TensorValue> {
  return Object.fromEntries(
    Object.entries(signature).flatMap(([name, spec]) => {
      const data = arrays[name];
      return data === undefined ? [] : [[name, { type: spec.dtype as OnnxType, shape: spec.shape, data }] as const];
    }),
  );
}

/** A graph drops inputs that nothing reads; the runtime wants only those it has. */
async function run(session: OnnxSession, arrays: Arrays, signature: Signature): Promise<Record<string, NumericArray>> {
  const known = new Set(session.inputs.map(({ name }) => name));
  const feeds = Object.entries(toFeeds(arrays, signature)).filter(([name]) => known.has(name));
  const outputs = await session.run(Object.fromEntries(feeds));
  const entries = Object.entries(group(outputs, OUTPUT)).map(([name, { data }]) => {
    invariant(!(data instanceof BigInt64Array || data instanceof Int8Array), `output ${name} is int64 or int8`);
    return [name, data] as const;
  });
  return Object.fromEntries(entries);
}

class OnnxCompiled implements Compiled {
  readonly #session: OnnxSession;
  readonly #signature: Signature;

  constructor(session: OnnxSession, signature: Signature) {
    this.#session = session;
    this.#signature = signature;
  }

  async run(inputs: Arrays): Promise<Arrays> {
    checkArrays(inputs, this.#signature, "compiled function");
    return run(this.#session, inputs, this.#signature);
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }
}

/** State, batch, gradients and statistics share one graph's name space under these prefixes. */
const STATE = "state";
const BATCH = "batch";
const GRADIENT = "gradient";
const STATISTIC = "statistic";
const METRIC = "metric";

interface Halves {
  readonly gradients: OnnxSession;
  readonly update: OnnxSession;
  readonly updateSpec: Signature;
}

class OnnxTrainer implements Trainer {
  readonly #step: TrainingStep;
  readonly #spec: Signature;
  readonly #batch: Signature;
  readonly #options: SessionOptions;
  readonly #fused: OnnxSession;
  #state: Arrays;
  #halves: Halves | undefined;

  private constructor(
    definition: { step: TrainingStep; spec: Signature; batch: Signature; values: Arrays },
    fused: OnnxSession,
    options: SessionOptions,
  ) {
    this.#step = definition.step;
    this.#spec = definition.spec;
    this.#batch = definition.batch;
    this.#state = definition.values;
    this.#fused = fused;
    this.#options = options;
  }

  static async create(
    definition: { step: TrainingStep; spec: Signature; batch: Signature; values: Arrays },
    options: SessionOptions,
  ): Promise<OnnxTrainer> {
    const { step, spec, batch, values } = definition;
    checkArrays(values, spec, "initial state");
    const fused: PureFunction = (inputs) => {
      const state = group(inputs, STATE);
      const { gradients, statistics, metrics } = step.gradients(state, group(inputs, BATCH));
      const next = step.update(state, gradients, statistics);
      checkUpdate(next, spec);
      return { ...prefix(next, STATE), ...prefix(metrics, METRIC) };
    };
    const session = await compileGraph(fused, { ...prefix(spec, STATE), ...prefix(batch, BATCH) }, options);
    return new OnnxTrainer(definition, session, options);
  }

  async step(batch: Arrays): Promise<Arrays> {
    checkArrays(batch, this.#batch, "batch");
    const outputs = await run(this.#fused, this.#inputs(batch), this.#signature());
    this.#state = group(outputs, STATE);
    return group(outputs, METRIC);
  }

  async gradients(batch: Arrays): Promise<{ gradients: Arrays; statistics: Arrays; metrics: Arrays }> {
    checkArrays(batch, this.#batch, "batch");
    const { gradients: session } = await this.#compileHalves();
    const outputs = await run(session, this.#inputs(batch), this.#signature());
    return {
      gradients: group(outputs, GRADIENT),
      statistics: group(outputs, STATISTIC),
      metrics: group(outputs, METRIC),
    };
  }

  async update(gradients: Arrays, statistics: Arrays): Promise<void> {
    const { update, updateSpec } = await this.#compileHalves();
    const inputs = {
      ...prefix(this.#state, STATE),
      ...prefix(gradients, GRADIENT),
      ...prefix(statistics, STATISTIC),
    };
    checkArrays(inputs, updateSpec, "update");
    this.#state = group(await run(update, inputs, updateSpec), STATE);
  }

  async state(): Promise<Arrays> {
    // Each step replaces the arrays instead of writing into them, so a snapshot needs no copy.
    return { ...this.#state };
  }

  async load(state: Arrays): Promise<void> {
    checkArrays(state, this.#spec, "state");
    this.#state = { ...state };
  }

  async dispose(): Promise<void> {
    const sessions = [
      this.#fused,
      ...(this.#halves === undefined ? [] : [this.#halves.gradients, this.#halves.update]),
    ];
    await Promise.all(sessions.map((session) => session.dispose()));
  }

  #inputs(batch: Arrays): Arrays {
    return { ...prefix(this.#state, STATE), ...prefix(batch, BATCH) };
  }

  #signature(): Signature {
    return { ...prefix(this.#spec, STATE), ...prefix(this.#batch, BATCH) };
  }

  async #compileHalves(): Promise<Halves> {
    if (this.#halves !== undefined) return this.#halves;
    const shapes: Record<string, Signature[string]> = {};
    const first: PureFunction = (inputs) => {
      const { gradients, statistics, metrics } = this.#step.gradients(group(inputs, STATE), group(inputs, BATCH));
      const named = { ...prefix(gradients, GRADIENT), ...prefix(statistics, STATISTIC) };
      for (const [name, tensor] of Object.entries(named)) {
        shapes[name] = { shape: tensor.shape, dtype: tensor.dtype === "float32" ? "float32" : "int32" };
      }
      return { ...named, ...prefix(metrics, METRIC) };
    };
    const gradients = await compileGraph(first, this.#signature(), this.#options);
    const second: PureFunction = (inputs) => {
      const next = this.#step.update(group(inputs, STATE), group(inputs, GRADIENT), group(inputs, STATISTIC));
      checkUpdate(next, this.#spec);
      return prefix(next, STATE);
    };
    const updateSpec = { ...prefix(this.#spec, STATE), ...shapes };
    const update = await compileGraph(second, updateSpec, this.#options);
    this.#halves = { gradients, update, updateSpec };
    return this.#halves;
  }
}

export function createOnnxEngine(options: SessionOptions = {}): Engine {
  const threads = options.threads === undefined ? "all cores" : `${options.threads} threads`;
  return {
    description: `onnx (${options.provider ?? "cpu"}, ${threads})`,
    compile: async (fn, inputs) => new OnnxCompiled(await compileGraph(fn, inputs, options), inputs),
    createTrainer: (step, { spec, values }, batch) => OnnxTrainer.create({ step, spec, batch, values }, options),
    dispose: () => Promise.resolve(),
  };
}
