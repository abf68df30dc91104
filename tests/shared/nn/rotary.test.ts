import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { frequencies, rotaryTables, rotate, turnMatrices, turnTable } from "../../../shared/nn/rotary.ts";
import { expectFiniteDifferences, expectTensorsClose, noise, numbers } from "./tensors.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const GRID = [5, 7] as const;
const HEAD = 8;

/** Angles of every position of the grid, as `rotate` takes them. */
function angles(): { cos: tf.Tensor; sin: tf.Tensor } {
  const { cos, sin, shape } = rotaryTables(GRID, HEAD);
  return { cos: tf.tensor(cos, [shape[0], 1, shape[1]]), sin: tf.tensor(sin, [shape[0], 1, shape[1]]) };
}

/** One vector, standing at every position: rows of [L, Dh]. */
function everywhere(vector: tf.Tensor): number[][] {
  const rows = rotate(tf.tile(tf.reshape(vector, [1, 1, 1, HEAD]), [1, 35, 1, 1]), angles());
  return tf.reshape(rows, [35, HEAD]).arraySync() as number[][];
}
const dot = (a: readonly number[] = [], b: readonly number[] = []): number =>
  a.reduce((sum, x, i) => sum + x * (b[i] ?? NaN), 0);

describe("frequencies", () => {
  test("fall from 2 rad a position to one turn of a radian over the whole axis", () => {
    const values = [...frequencies(4, 32)];
    expect(values[0]).toBeCloseTo(2, 10);
    expect(values[3]).toBeCloseTo(1 / 32, 10);
    expect(values.toSorted((a, b) => b - a)).toEqual(values);
  });

  test("a single pair turns fastest", () => {
    expect([...frequencies(1, 32)]).toEqual([2]);
  });
});

test("tables have a row for each position and half the columns for each axis", () => {
  const { cos, sin, shape } = rotaryTables(GRID, HEAD);
  expect(shape).toEqual([35, 4]);
  expect([cos.length, sin.length]).toEqual([140, 140]);
  const angleAt = (row: number, column: number): number[] =>
    [0, 1, 2, 3].map((pair) =>
      Math.atan2(sin[(row * 7 + column) * 4 + pair] ?? NaN, cos[(row * 7 + column) * 4 + pair] ?? NaN),
    );
  expect(angleAt(0, 0)).toEqual([0, 0, 0, 0]);
  expect(angleAt(1, 0).slice(2)).toEqual([0, 0]);
  expect(angleAt(0, 1).slice(0, 2)).toEqual([0, 0]);
  expect(angleAt(1, 0)[0]).toBeCloseTo(2, 5);
  expect(angleAt(0, 1)[2]).toBeCloseTo(2, 5);
});

test("a turn keeps lengths, and leaves position 0 alone", () => {
  const x = noise([2, 35, 3, HEAD]);
  const y = rotate(x, angles());
  expectTensorsClose(tf.sum(tf.square(y), -1), tf.sum(tf.square(x), -1));
  expect(numbers(tf.slice(y, [0, 0, 0, 0], [-1, 1, -1, -1]))).toEqual(
    numbers(tf.slice(x, [0, 0, 0, 0], [-1, 1, -1, -1])),
  );
});

test("products of query and key depend on the offset (Δrow, Δcolumn) alone", () => {
  const [q, k] = [everywhere(noise([HEAD], 1)), everywhere(noise([HEAD], 2))];
  const at = (row: number, column: number): number => row * GRID[1] + column;
  const coordinates = fc.tuple(fc.nat(GRID[0] - 1), fc.nat(GRID[1] - 1));
  fc.assert(
    fc.property(coordinates, coordinates, coordinates, ([r1, c1], [r2, c2], [r3, c3]) => {
      const [r4, c4] = [r3 + r2 - r1, c3 + c2 - c1];
      fc.pre(r4 >= 0 && r4 < GRID[0] && c4 >= 0 && c4 < GRID[1]);
      expect(dot(q[at(r1, c1)], k[at(r2, c2)])).toBeCloseTo(dot(q[at(r3, c3)], k[at(r4, c4)]), 4);
    }),
  );
});

test("different offsets have different products: position is not lost", () => {
  const [q, k] = [everywhere(noise([HEAD], 1)), everywhere(noise([HEAD], 2))];
  const products = k.map((key) => dot(q[0], key).toFixed(4));
  expect(new Set(products).size).toBe(35);
});

test.each([1, 0.5])("products with a position's matrix turn as `rotate` does, and stretch by %d", (scale) => {
  const x = noise([2, 35, 3, HEAD]);
  const matrices = turnMatrices(turnTable(GRID, HEAD), scale);
  expect(matrices.shape).toEqual([35, HEAD, HEAD]);
  expectTensorsClose(tf.matMul(x, matrices), tf.mul(rotate(x, angles()), scale), 1e-6);
});

test("matrices of some positions are made of their rows of the table", () => {
  const positions = tf.tensor1d([4, 30], "int32");
  const some = turnMatrices(tf.gather(turnTable(GRID, HEAD), positions), 1);
  expectTensorsClose(some, tf.gather(turnMatrices(turnTable(GRID, HEAD), 1), positions), 1e-7);
});

test("gradients agree with finite differences", () => {
  expectFiniteDifferences((x) => rotate(x, angles()), [noise([1, 35, 2, HEAD])]);
});
