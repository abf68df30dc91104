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
 * Turns each pair (x_i, x_{i + Dh/2}) by its position's angle.
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
  const half = (x.shape[3] ?? 0) / 2;
  const [a, b] = tf.split(x, [half, half], 3) as [tf.Tensor, tf.Tensor]; // [N, T, H, Dh/2] each
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(a, sin), tf.mul(b, cos))], 3);
}
