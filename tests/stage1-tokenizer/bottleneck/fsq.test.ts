import { describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createFsq, fsqCodes } from "../../../stage1-tokenizer/bottleneck/fsq.ts";
import { testBottleneck } from "../../contracts/bottleneck.ts";
import { expectTensorsClose, noise, numbers } from "../../shared/nn/tensors.ts";

testBottleneck(createFsq({ levels: [3, 4] }));
testBottleneck(createFsq({ levels: [2, 5, 6] }));

const product = (levels: readonly number[]): number => levels.reduce((codes, count) => codes * count, 1);
/** Digit of each channel, the first the fastest. */
const digitsOf = (token: number, levels: readonly number[]): number[] =>
  levels.map((count, i) => Math.floor(token / product(levels.slice(0, i))) % count);
/** Half the bounded range, and the shift of even counts: the bound is tanh(zE + atanh(offset / half)) · half − offset. */
const boundOf = (count: number) => ({ half: ((count - 1) * 1.001) / 2, offset: count % 2 === 0 ? 0.5 : 0 });
/** What the encoder must say for the level `digit` exactly. */
function unbounded(digit: number, count: number): number {
  const { half, offset } = boundOf(count);
  return Math.atanh((digit - Math.floor(count / 2) + offset) / half) - Math.atanh(offset / half);
}

describe.each([[[3, 4]], [[8, 5, 5, 5]], [[2, 2, 2]], [[6, 7]], [[64, 63]]])("fsq of levels %j", (levels) => {
  const [K, d] = [product(levels), levels.length];
  const fsq = createFsq({ levels });
  const tokens = Array.from({ length: K }, (_, token) => token);
  const table = fsqCodes(levels);

  test("has K different codes in −1 … 1: (digit − ⌊L/2⌋) / ⌊L/2⌋", () => {
    expect(fsq.codebookSize).toBe(K);
    const expected = tokens.flatMap((token) =>
      digitsOf(token, levels).map((digit, i) => {
        const half = Math.floor((levels[i] ?? NaN) / 2);
        return Math.fround((digit - half) / half);
      }),
    );
    expect([...table]).toEqual(expected);
    expect(new Set(tokens.map((token) => table.subarray(token * d, (token + 1) * d).join())).size).toBe(K);
  });

  test("reaches each of them from a finite zE: its token, and z the table's row bit for bit", () => {
    const says = tokens.flatMap((token) =>
      digitsOf(token, levels).map((digit, i) => unbounded(digit, levels[i] ?? NaN)),
    );
    expect(says.every((value) => Math.abs(value) < 8)).toBe(true);
    const zE = tf.tensor(says, [1, 1, K, d]);
    expect(numbers(fsq.assign(zE))).toEqual(tokens);
    const { z, statistics } = fsq.forward(zE);
    expect(numbers(z).map((value) => value + 0)).toEqual([...table].map((value) => value + 0)); // −0 is 0
    expect(numbers(statistics["counts"] ?? tf.scalar(NaN))).toEqual(tokens.map(() => 1));
    expect(numbers(fsq.lookup(tf.tensor(tokens, [1, 1, K], "int32"), {}))).toEqual([...table]);
  });

  test("has no other, whatever the encoder says", () => {
    const zE = tf.mul(noise([1, 8, 9, d]), tf.tensor([0.1, 1, 10, 1e4, 1e30, 3, 0, 2], [8, 1, 1]));
    const chosen = numbers(fsq.assign(zE));
    expect(chosen.every((token) => token >= 0 && token < K)).toBe(true);
    expectTensorsClose(fsq.forward(zE).z, fsq.lookup(tf.tensor(chosen, [1, 8, 9], "int32"), {}), 0);
  });

  test("says 0 at zE = 0", () => {
    expect(numbers(fsq.forward(tf.zeros([1, 1, 1, d])).z).map(Math.abs)).toEqual(levels.map(() => 0));
  });

  test("passes the rounding a gradient of half · (1 − tanh²) / ⌊L/2⌋", () => {
    const [zE, r] = [noise([1, 2, 2, d]), noise([1, 2, 2, d], 9)];
    const got = tf.grad((x: tf.Tensor) => tf.sum(tf.mul(r, fsq.forward(x).z)))(zE);
    const expected = numbers(zE).map((value, i) => {
      const count = levels[i % d] ?? NaN;
      const { half, offset } = boundOf(count);
      const slope = half * (1 - Math.tanh(value + Math.atanh(offset / half)) ** 2);
      return ((numbers(r)[i] ?? NaN) * slope) / Math.floor(count / 2);
    });
    expectTensorsClose(got, tf.tensor(expected, [1, 2, 2, d]));
  });
});

test("fsq of [3, 4], written out: the first channel is the fastest", () => {
  const rows = [-1, 0, 1];
  expect([...fsqCodes([3, 4])]).toEqual([-1, -0.5, 0, 0.5].flatMap((slow) => rows.flatMap((fast) => [fast, slow])));
});
