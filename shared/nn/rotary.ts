/**
 * Rotary positions on a grid: half of each head turns with the row, half with the column, so that a product of query and key depends on
 * their offset (Δrow, Δcolumn) alone. Knows no attention.
 *
 * Source: Su et al. 2021, "RoFormer", eq. 34; per axis as in Sun et al. 2024, "LlamaGen", section 3.
 */
import { tf } from "../engine/tf.ts";

/** The fastest pair turns by 2 rad a position: direct neighbours are told apart clearly, and the turn is still short of a half circle. */
const FASTEST = 2;

/**
 * Angles a position adds on one axis: from `FASTEST` down to `1 / span`, geometric. RoFormer's base of 10,000 is for texts of thousands of
 * words; on an axis of 32 its slow half would never turn.
 */
export function frequencies(count: number, span: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => FASTEST * (FASTEST * span) ** (-i / Math.max(1, count - 1)));
}

export interface RotaryTables {
  /** [L, Dh/2]: cosines and sines of each position's angles; the first half of the columns by row, the second by column. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  readonly shape: readonly [length: number, pairs: number];
}

/** @param grid [h, w] in raster order, L = h·w @param headDimension Dh, a multiple of 4 */
export function rotaryTables(grid: readonly [height: number, width: number], headDimension: number): RotaryTables {
  const [height, width] = grid;
  const pairs = headDimension / 2;
  const perAxis = pairs / 2;
  const [rows, columns] = [frequencies(perAxis, height), frequencies(perAxis, width)];
  const cos = new Float32Array(height * width * pairs);
  const sin = new Float32Array(height * width * pairs);
  for (let position = 0; position < height * width; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      const byRow = pair < perAxis;
      const coordinate = byRow ? Math.floor(position / width) : position % width;
      const angle = coordinate * ((byRow ? rows[pair] : columns[pair - perAxis]) ?? 0);
      cos[position * pairs + pair] = Math.cos(angle);
      sin[position * pairs + pair] = Math.sin(angle);
    }
  }
  return { cos, sin, shape: [height * width, pairs] };
}

/**
 * Turns each pair (x_i, x_{i + Dh/2}) by its position's angle: x ∘ cos + (x·R) ∘ sin, where R turns every pair by a quarter. The product with R is
 * one node instead of the five that cut every head in two and join it again.
 * @param x [N, T, H, Dh] @param angles cosines and sines [T, 1, Dh/2]
 */
export function rotate(x: tf.Tensor, angles: { readonly cos: tf.Tensor; readonly sin: tf.Tensor }): tf.Tensor {
  const turn = tf.customGrad((input, save) => {
    // Saved, not captured: the gradient runs after the scope in which a caller made the angles has ended.
    (save as tf.GradSaveFunc)([angles.cos, angles.sin]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const [cos, sin] = saved as [tf.Tensor, tf.Tensor];
      return [turned(dy, cos, tf.neg(sin))]; // the transpose of a rotation is the rotation back
    };
    return { value: turned(input as tf.Tensor, angles.cos, angles.sin), gradFunc };
  });
  return turn(x);
}

function turned(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor {
  const headDimension = x.shape[3] ?? 0;
  const twice = (half: tf.Tensor): tf.Tensor => tf.concat([half, half], 2); // [T, 1, Dh]
  const rows = tf.reshape(x, [-1, headDimension]);
  const quarter = tf.reshape(tf.matMul(rows, quarterTurn(headDimension)), x.shape);
  return tf.add(tf.mul(x, twice(cos)), tf.mul(quarter, twice(sin)));
}

/** R [Dh, Dh]: (a, b) · R = (−b, a) for the halves a and b of a row. */
const quarterTurn = (headDimension: number): tf.Tensor2D =>
  tf.tensor2d(quarterTurnValues(headDimension), [headDimension, headDimension]);

function quarterTurnValues(headDimension: number): Float32Array {
  const half = headDimension / 2;
  const values = new Float32Array(headDimension * headDimension);
  for (let i = 0; i < half; i++) {
    values[(i + half) * headDimension + i] = -1;
    values[i * headDimension + i + half] = 1;
  }
  return values;
}

/** Rows for `turnMatrices`, one a position: cosines and sines of each column's angle, [L, 2, 1, Dh]. */
export function turnTable(grid: readonly [height: number, width: number], headDimension: number): tf.Tensor {
  const { cos, sin, shape } = rotaryTables(grid, headDimension);
  const [length, pairs] = shape;
  const values = new Float32Array(length * 2 * headDimension);
  for (let position = 0; position < length; position++) {
    const angles = [cos, sin].map((table) => table.subarray(position * pairs, (position + 1) * pairs));
    const columns = angles.flatMap((half) => [...half, ...half]);
    values.set(columns, position * 2 * headDimension);
  }
  return tf.tensor(values, [length, 2, 1, headDimension]);
}

/**
 * `rotate` as products: a row [Dh] times the matrix of its position, I ∘ cos + R ∘ sin, is turned, and `scale` times as long. For decoding, where the
 * matrices of few positions serve all layers: one node a layer in the place of six.
 * @param rows of `turnTable`, [T, 2, 1, Dh] @returns [T, Dh, Dh]
 */
export function turnMatrices(rows: tf.Tensor, scale: number): tf.Tensor {
  const headDimension = rows.shape[3] ?? 0;
  const straight = Float32Array.from({ length: headDimension ** 2 }, (_, i) => (i % (headDimension + 1) === 0 ? 1 : 0));
  const both = [...straight, ...quarterTurnValues(headDimension)].map((value) => value * scale);
  return tf.sum(tf.mul(rows, tf.tensor(both, [2, headDimension, headDimension])), 1);
}
