/**
 * What runs a model. A model, its loss, its gradient and its optimizer are pure functions on TensorFlow.js tensors; an `Engine`
 * compiles such functions for given shapes and runs them on plain typed arrays. Knows no model, no file and no runtime.
 */
import type { tf } from "./tf.ts";

/** A flat record of named tensors, as the pure functions see them. */
export type Tensors = Readonly<Record<string, tf.Tensor>>;

/** What a caller hands in and gets back: row-major typed arrays. */
export type NumericArray = Float32Array | Int32Array | Uint8Array;
export type Arrays = Readonly<Record<string, NumericArray>>;

/**
 * Shape and storage of one named array. `uint8` arrays reach the pure function as `int32` tensors (TensorFlow.js has no uint8).
 */
export interface ArraySpec {
  readonly shape: readonly number[];
  readonly dtype: "float32" | "int32" | "uint8";
}
export type Signature = Readonly<Record<string, ArraySpec>>;

/** A function of named tensors without side effects: the same inputs give the same outputs, and nothing is drawn inside. */
export type PureFunction = (inputs: Tensors) => Tensors;

/**
 * A training step as two pure functions, so that one process fuses them into one graph and several processes can all-reduce
 * between them. State is a flat record: weights, optimizer moments, EMA weights, codebook statistics, step.
 */
export interface TrainingStep {
  gradients(state: Tensors, batch: Tensors): StepGradients;
  /** Must return every entry of `state`, in the same shapes. */
  update(state: Tensors, gradients: Tensors, statistics: Tensors): Tensors;
}

export interface StepGradients {
  /** One per trained weight, under the weight's name. */
  readonly gradients: Tensors;
  /** What `update` needs beside gradients (code counts and sums, …); averaged like gradients between processes. */
  readonly statistics: Tensors;
  /** Scalars or small vectors to report; `loss` must be among them. */
  readonly metrics: Tensors;
}

/** A compiled pure function. */
export interface Compiled {
  /** @throws bad-input if an array is missing, unknown, or of another length than its spec. */
  run(inputs: Arrays): Promise<Arrays>;
  dispose(): Promise<void>;
}

/** A compiled training step that keeps its state between calls. */
export interface Trainer {
  /** Gradients and update in one go; returns the metrics. */
  step(batch: Arrays): Promise<Arrays>;
  /** First half alone: state is not changed. */
  gradients(batch: Arrays): Promise<{ gradients: Arrays; statistics: Arrays; metrics: Arrays }>;
  /** Second half alone: replaces the state. */
  update(gradients: Arrays, statistics: Arrays): Promise<void>;
  /** A snapshot by name; later steps do not change the returned arrays. */
  state(): Promise<Arrays>;
  /** Replaces the state; names and lengths must be the present ones. */
  load(state: Arrays): Promise<void>;
  dispose(): Promise<void>;
}

export interface Engine {
  /** For people: "onnx (cpu, 2 threads)". */
  readonly description: string;
  compile(fn: PureFunction, inputs: Signature): Promise<Compiled>;
  createTrainer(step: TrainingStep, state: { spec: Signature; values: Arrays }, batch: Signature): Promise<Trainer>;
  dispose(): Promise<void>;
}
