/** Checks at the engines' door: every array of a signature present, nothing else, each of its length and storage. */
import { badInput, invariant } from "../errors.ts";
import { sizeOf } from "../records.ts";
import type { ArraySpec, Arrays, NumericArray, Signature, Tensors } from "./engine.ts";

const STORAGE = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array } as const;

/** An array of zeros for `spec`. */
export const zerosOf = (spec: ArraySpec): NumericArray => new STORAGE[spec.dtype](sizeOf(spec.shape));

/** @throws bad-input naming the array that is missing, unknown, of another length or another storage type. */
export function checkArrays(arrays: Arrays, signature: Signature, where: string): void {
  for (const name of Object.keys(arrays)) {
    if (signature[name] !== undefined) continue;
    throw badInput({ what: `unknown array "${name}"`, where, expected: Object.keys(signature).join(", ") });
  }
  for (const [name, spec] of Object.entries(signature)) {
    const array = arrays[name];
    const expected = `${spec.dtype} [${spec.shape.join(", ")}]`;
    if (array === undefined) throw badInput({ what: `array "${name}" is missing`, where, expected });
    if (!(array instanceof STORAGE[spec.dtype]) || array.length !== sizeOf(spec.shape)) {
      const got = `${array.constructor.name} of length ${array.length}`;
      throw badInput({ what: `array "${name}" does not fit its signature`, where, expected, got });
    }
  }
}

/** The contract of `TrainingStep.update`: every entry, in its shape. */
export function checkUpdate(next: Tensors, spec: Signature): void {
  for (const [name, { shape }] of Object.entries(spec)) {
    const got = next[name]?.shape.join() ?? "nothing";
    invariant(got === shape.join(), `update returned ${got} for state "${name}" of shape [${shape.join()}]`);
  }
  const extra = Object.keys(next).filter((name) => spec[name] === undefined);
  invariant(extra.length === 0, `update returned unknown state ${extra.join(", ")}`);
}
