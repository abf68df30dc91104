/**
 * The flat record a training step keeps: keys are `<group>/<name>` (`weight/encoder.conv1.kernel`, `adam.m/…`, `ema/…`,
 * `codebook/counts`) and the scalar `step`. Splits and joins groups, and draws initial weights on the host. Knows no model
 * and no optimizer.
 */
import type { ArraySpec, Arrays, NumericArray, Signature } from "../engine/engine.ts";
import type { Rng } from "../rng.ts";
import { invariant } from "../errors.ts";
import { group, prefix, sizeOf, stripPrefix } from "../records.ts";

export { group, prefix, sizeOf };

/** Initial state (or a part of it) as an `Engine` takes it: shapes and values under the same names. */
export interface InitialState {
  readonly spec: Signature;
  readonly values: Arrays;
}

/** One declared weight: its shape and how its first value is drawn. */
export interface WeightSpec {
  readonly shape: readonly number[];
  /** Called once per element with the weight's own stream. */
  readonly init: (rng: Rng) => number;
}
/** Every weight of a model, declared once; the forward function reads them by these names. */
export type WeightSpecs = Readonly<Record<string, WeightSpec>>;

export const zeros = (): number => 0;
export const ones = (): number => 1;
/** Uniform in [−bound, bound). */
export const uniform =
  (bound: number) =>
  (rng: Rng): number =>
    (2 * rng.uniform() - 1) * bound;
/** Normal with mean 0. */
export const normal =
  (deviation: number) =>
  (rng: Rng): number =>
    deviation * rng.normal();

/**
 * Draws every weight from `rng.fork(name)`, so that adding a layer leaves the others' first values as they were.
 * @returns float32 entries under the weights' bare names
 */
export function initialise(specs: WeightSpecs, rng: Rng): InitialState {
  const spec: Record<string, ArraySpec> = {};
  const values: Record<string, NumericArray> = {};
  for (const [name, { shape, init }] of Object.entries(specs)) {
    spec[name] = { shape, dtype: "float32" };
    values[name] = rng.fork(name).fill(sizeOf(shape), init);
  }
  return { spec, values };
}

/** Float32 entries of the given shapes, all zero: an optimizer's first moments. */
export function zerosLike(signature: Signature): InitialState {
  const entries = Object.entries(signature);
  return {
    spec: Object.fromEntries(entries.map(([name, { shape }]) => [name, { shape, dtype: "float32" as const }])),
    values: Object.fromEntries(entries.map(([name, { shape }]) => [name, new Float32Array(sizeOf(shape))])),
  };
}

/** The weights of one layer or block, without its dotted prefix: `layer(weights, "encoder.conv1").kernel`. */
export function layer<T>(weights: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return stripPrefix(weights, `${name}.`);
}

/** `prefix` for initial state: spec and values alike. */
export function prefixState(state: InitialState, name: string): InitialState {
  return { spec: prefix(state.spec, name), values: prefix(state.values, name) };
}

/** Joins parts of the initial state; a name in two parts is a bug. */
export function joinStates(...parts: readonly InitialState[]): InitialState {
  const spec: Record<string, ArraySpec> = {};
  const values: Record<string, NumericArray> = {};
  for (const part of parts) {
    for (const [name, entry] of Object.entries(part.spec)) {
      invariant(!(name in spec), `state entry ${name} is declared twice`);
      spec[name] = entry;
      values[name] = entryOf(part.values, name);
    }
  }
  return { spec, values };
}

/** The entry called `name`; its absence is a bug of the model or a state that belongs to another model. */
export function entryOf<T>(record: Readonly<Record<string, T>>, name: string): T {
  const value = record[name];
  invariant(value !== undefined, `no entry named ${name}; there are ${Object.keys(record).slice(0, 8).join(", ")}, …`);
  return value;
}
