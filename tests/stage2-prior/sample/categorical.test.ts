/** One draw: the inverse of the cumulative distribution, exactly. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Categorical } from "../../../stage2-prior/sample/categorical.ts";

const shares = [0.1, 0, 0.4, 0.25, 0.25]; // code 1: logit −200, no mass left in double precision's sum
const logits = Float32Array.from([9, 9, ...shares.map((share) => (share === 0 ? -200 : Math.log(share) + 5)), 9]);
const at = { logits, offset: 2, temperature: 1, image: 0, position: 0 } as const;

test.each([
  [0, 0],
  [0.0999, 0],
  [0.1001, 2],
  [0.4999, 2],
  [0.5001, 3],
  [0.7501, 4],
  [1 - 2 ** -53, 4],
])("uniform %d draws code %d", (uniform, code) => {
  const categorical = new Categorical(5);
  expect(categorical.draw({ ...at, uniform })).toBe(code);
  expect(categorical.logProbability).toBeCloseTo(Math.log(shares[code] ?? NaN), 5);
});

test("confidence is the network's own, whatever the temperature", () => {
  const categorical = new Categorical(5);
  for (const temperature of [0, 0.3, 4]) {
    expect(categorical.draw({ ...at, temperature, uniform: 0.45 })).toBe(2);
    expect(categorical.logProbability).toBeCloseTo(Math.log(0.4), 5);
  }
});

test("logits of any size leave finite probabilities", () => {
  const categorical = new Categorical(3);
  const extreme = Float32Array.from([3e38, -3e38, 3e38]);
  expect(categorical.draw({ ...at, logits: extreme, offset: 0, uniform: 0.75 })).toBe(2);
  expect(categorical.logProbability).toBeCloseTo(-Math.LN2, 9);
  expect(categorical.draw({ ...at, logits: extreme, offset: 0, temperature: 1e-300, uniform: 0.25 })).toBe(0);
});

/** Rows with many ties; the codes of a row from most to least likely, the lower code first among equals. */
const rows = fc.array(fc.integer({ min: -6, max: 6 }), { minLength: 1, maxLength: 12 }).map((row) => Float32Array.from(row, (x) => x / 2)); // prettier-ignore
const ranked = (row: Float32Array): number[] => [...row.keys()].sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0) || a - b);
const uniforms = Array.from({ length: 400 }, (_, i) => (i + 0.5) / 400);
const truncations = {
  topK: fc.option(fc.integer({ min: 1, max: 14 }), { nil: undefined }),
  topP: fc.option(fc.double({ min: 0.01, max: 1, noNaN: true }), { nil: undefined }),
  temperature: fc.constantFrom(0.5, 1, 3),
};

/** What the papers say, by sorting and adding up: the codes that may be drawn and their shares. */
function reference(
  row: Float32Array,
  options: { topK?: number | undefined; topP?: number | undefined; temperature: number },
): Map<number, number> {
  const weight = (code: number): number => Math.exp((row[code] ?? 0) / options.temperature);
  const sum = (codes: readonly number[]): number => codes.reduce((total, code) => total + weight(code), 0);
  const best = ranked(row).slice(0, options.topK ?? row.length);
  let size = 1;
  while (size < best.length && sum(best.slice(0, size)) / sum(best) < (options.topP ?? 1) - 1e-12) size++;
  const kept = best.slice(0, size);
  return new Map(kept.map((code) => [code, weight(code) / sum(kept)]));
}

test("a truncated draw has the shares of the codes that are left, and no other code", () => {
  const property = fc.property(rows, fc.record(truncations), (row, { topK, topP, temperature }) => {
    const categorical = new Categorical(row.length, { topK, topP });
    const expected = reference(row, { topK, topP, temperature });
    const drawn = uniforms.map((uniform) => categorical.draw({ ...at, logits: row, offset: 0, temperature, uniform }));
    for (const code of row.keys()) {
      const share = drawn.filter((token) => token === code).length / uniforms.length;
      expect(Math.abs(share - (expected.get(code) ?? 0))).toBeLessThanOrEqual(expected.has(code) ? 1.01 / 400 : 0);
    }
  });
  fc.assert(property, { numRuns: 150, seed: 5 });
});

test("confidence is the network's own, whatever was cut off", () => {
  const categorical = new Categorical(5, { topK: 2, topP: 0.3 });
  expect(categorical.draw({ ...at, uniform: 0.99 })).toBe(2);
  expect(categorical.logProbability).toBeCloseTo(Math.log(0.4), 5);
});

test("of equal codes the lower stay", () => {
  const flat = { ...at, logits: new Float32Array(5), offset: 0 };
  const drawnBy = (categorical: Categorical): Set<number> =>
    new Set(uniforms.map((uniform) => categorical.draw({ ...flat, uniform })));
  expect([...drawnBy(new Categorical(5, { topK: 2 }))]).toEqual([0, 1]);
  expect([...drawnBy(new Categorical(5, { topP: 0.55 }))]).toEqual([0, 1, 2]);
  expect(new Categorical(5, { topK: 2 }).draw({ ...flat, temperature: 0, uniform: 0.9 })).toBe(0);
});

test("a logit that is not finite stops a truncated draw too", () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    const categorical = new Categorical(3, { topK: 1, topP: 0.5 });
    const draw = { ...at, logits: Float32Array.of(1, bad, 2), offset: 0, uniform: 0.5 };
    expect(() => categorical.draw(draw)).toThrow(/not finite/);
  }
});
