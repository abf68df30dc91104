import { beforeAll, describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { attention, cachedAttention, hiddenKeys } from "../../../shared/nn/attention.ts";
import {
  expectFiniteDifferences,
  expectSameFunction,
  expectTensorsClose,
  gradientsOf,
  noise,
  numbers,
} from "./tensors.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** softmax(QKᵀ + mask)·V in one piece, differentiated by the library. */
function plain(causal: boolean): (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => tf.Tensor {
  return (q, k, v) => {
    const length = q.shape[2] ?? 0;
    const scores = tf.matMul(q, k, false, true);
    const later = Float32Array.from({ length: length * length }, (_, i) =>
      i % length > Math.floor(i / length) ? -1e9 : 0,
    );
    return tf.matMul(tf.softmax(causal ? tf.add(scores, tf.tensor(later, [length, length])) : scores), v);
  };
}
const inputs = (shape: readonly number[]): [tf.Tensor, tf.Tensor, tf.Tensor] => [
  noise(shape, 1),
  noise(shape, 2),
  noise(shape, 3),
];
const wrapped = (causal: boolean) => (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => attention(q, k, v, { causal });

describe.each([true, false])("causal: %o", (causal) => {
  // 128 queries are a block: one short one, one full, one and a bit, two and a bit.
  test.each([1, 5, 128, 129, 260])(
    "values and gradients over %d positions are those of one unblocked product",
    (length) => {
      expectSameFunction(wrapped(causal), plain(causal), inputs([2, 2, length, 4]));
    },
  );

  test("gradients agree with finite differences across a block's edge", () => {
    expectFiniteDifferences(wrapped(causal), inputs([1, 1, 131, 4]));
  });

  test("leaks no tensor", () => {
    const qkv = inputs([1, 2, 130, 4]);
    const before = tf.memory().numTensors;
    tf.tidy(() => {
      gradientsOf((q, k, v) => attention(q, k, v, { causal }), qkv);
    });
    expect(tf.memory().numTensors).toBe(before);
  });

  test("scores of hundreds stay finite", () => {
    const [q, k, v] = inputs([1, 1, 6, 4]);
    expect(numbers(attention(tf.mul(q, 300), k, v, { causal })).every(Number.isFinite)).toBe(true);
  });
});

test.each([3, 127, 128, 140])(
  "a changed key and value at %d changes no earlier output and some later one",
  (changed) => {
    const [q, k, v] = inputs([1, 1, 150, 4]);
    const bump = tf.tensor(
      Float32Array.from({ length: 600 }, (_, i) => (Math.floor(i / 4) === changed ? 5 : 0)),
      [1, 1, 150, 4],
    );
    const before = numbers(attention(q, k, v, { causal: true }));
    const after = numbers(attention(q, tf.add(k, bump), tf.add(v, bump), { causal: true }));
    expect(after.slice(0, changed * 4)).toEqual(before.slice(0, changed * 4));
    expect(after.slice(changed * 4)).not.toEqual(before.slice(changed * 4));
  },
);

/** The mask of `size` new rows behind `length` of `room` rows that hold something. */
const hiddenOf = (length: number, room: number, size: number): tf.Tensor =>
  hiddenKeys(
    tf.tensor1d([length], "int32"),
    tf.range(0, room, 1, "int32"),
    tf.range(length, length + size, 1, "int32"),
  );

describe("cached", () => {
  /** Feeds the rows in pieces of the given sizes, from a cache of `room` rows of which those that hold nothing yet are `filler`. */
  function inPieces(
    [q, k, v]: readonly [tf.Tensor, tf.Tensor, tf.Tensor],
    sizes: readonly number[],
    { room, filler }: { room: (past: number) => number; filler: number },
  ): tf.Tensor {
    const rows = (x: tf.Tensor, start: number, size: number): tf.Tensor =>
      tf.slice(x, [0, 0, start, 0], [-1, -1, size, -1]);
    let done = 0;
    const outputs = sizes.map((size) => {
      const [count = 0, heads = 0, , dimension = 0] = k.shape;
      const empty = tf.fill([count, heads, room(done) - done, dimension], filler);
      const held = (x: tf.Tensor): tf.Tensor => tf.concat([rows(x, 0, done), empty], 2); // [N, H, R, Dh]
      const present = { keys: rows(k, done, size), values: rows(v, done, size) };
      const hidden = hiddenOf(done, room(done), size);
      const output = cachedAttention(rows(q, done, size), { keys: held(k), values: held(v) }, present, hidden);
      done += size;
      return output;
    });
    return tf.concat(outputs, 2);
  }

  test.each([{ sizes: [9] }, { sizes: [1, 1, 1, 1, 1, 1, 1, 1, 1] }, { sizes: [4, 5] }, { sizes: [3, 1, 5] }])(
    "in pieces of $sizes equals the causal pass, whatever the room and what lies in it",
    ({ sizes }) => {
      const qkv = inputs([2, 3, 9, 4]);
      const whole = attention(...qkv, { causal: true });
      expectTensorsClose(inPieces(qkv, sizes, { room: (past) => Math.max(1, past), filler: 0 }), whole);
      for (const filler of [0, 1e4, -1e4]) expectTensorsClose(inPieces(qkv, sizes, { room: () => 12, filler }), whole);
    },
  );

  /** Rows of 0 and 1 = hidden. */
  const masks = (length: number, room: number, size: number): number[][] =>
    (tf.less(hiddenOf(length, room, size), 0).arraySync() as number[][]).map((row) => row.map(Number));

  test("cached rows from the length on are hidden", () => {
    expect([0, 1, 3].map((length) => masks(length, 3, 1))).toEqual([[[1, 1, 1, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]]);
  });

  test("new rows see themselves and what came before, wherever they stand", () => {
    const triangle = [[0, 1, 1], [0, 0, 1], [0, 0, 0]]; // prettier-ignore
    for (const length of [0, 7, 1_000]) {
      expect(masks(length, 1_024, 3).map((row) => row.slice(1_024))).toEqual(triangle);
      for (const row of masks(length, 1_024, 3)) expect(row.indexOf(1)).toBe(length);
    }
  });

  test("what is not hidden is left as it is", () => {
    expect(new Set(numbers(hiddenOf(2, 4, 3)))).toEqual(new Set([0, -1e9]));
  });
});
