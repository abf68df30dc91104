/** One draw: the inverse of the cumulative distribution, exactly. */
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
