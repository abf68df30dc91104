/** Runs one pure function on both engines and compares: the oracle is TensorFlow.js's pure-JS backend. */
import { expect } from "vitest";

import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { createTfjsEngine } from "../../shared/engine/tfjs-engine.ts";
import type { Arrays, NumericArray, PureFunction, Signature } from "../../shared/engine/engine.ts";
import { Rng } from "../../shared/rng.ts";

/** ‖a − b‖ / ‖b‖ with norms over the whole array; absolute where the reference is zero. */
export function relativeError(got: NumericArray, reference: NumericArray): number {
  expect(got.length).toBe(reference.length);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < reference.length; i++) {
    difference += ((got[i] ?? NaN) - (reference[i] ?? NaN)) ** 2;
    norm += (reference[i] ?? NaN) ** 2;
  }
  return Math.sqrt(norm > 0 ? difference / norm : difference);
}

/** Asserts that two records hold the same names and values up to `tolerance`. */
export function expectClose(got: Arrays, reference: Arrays, tolerance = 1e-5): void {
  expect(Object.keys(got).sort()).toEqual(Object.keys(reference).sort());
  for (const [name, values] of Object.entries(reference)) {
    const error = relativeError(got[name] ?? new Float32Array(), values);
    expect(error, `relative error of ${name}`).toBeLessThanOrEqual(tolerance);
  }
}

/** Random inputs for a signature: normal floats, small non-negative integers. */
export function randomInputs(signature: Signature, seed = 1, integers = 5): Record<string, NumericArray> {
  const rng = Rng.fromSeed(seed);
  return Object.fromEntries(
    Object.entries(signature).map(([name, { shape, dtype }]): [string, NumericArray] => {
      const draw = rng.fork(name);
      const length = shape.reduce((size, dim) => size * dim, 1);
      if (dtype === "float32") return [name, draw.fill(length, (r) => r.normal())];
      const values = Array.from({ length }, () => draw.integer(dtype === "uint8" ? 256 : integers));
      return [name, dtype === "uint8" ? Uint8Array.from(values) : Int32Array.from(values)];
    }),
  );
}

/** Runs `fn` on onnx and on the oracle and compares every output. */
export async function expectParity(
  fn: PureFunction,
  signature: Signature,
  inputs: Arrays = randomInputs(signature),
): Promise<void> {
  const results: Arrays[] = [];
  for (const engine of [createOnnxEngine({ threads: 2 }), await createTfjsEngine("oracle")]) {
    const compiled = await engine.compile(fn, signature);
    results.push(await compiled.run(inputs));
    await compiled.dispose();
  }
  const [onnx, oracle] = results;
  if (onnx === undefined || oracle === undefined) throw new Error("Both engines must answer.");
  expectClose(onnx, oracle);
}
