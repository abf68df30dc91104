/** Rows of a table by index, for ids of any shape. Knows no network. */
import { tf } from "../../shared/engine/tf.ts";

/** Rows of `table` [R, M] at integer `indices` [..]: [.., M]. */
export function rowsOf(table: tf.Tensor, indices: tf.Tensor): tf.Tensor {
  const flat = tf.reshape(indices, [indices.size]);
  return tf.reshape(tf.gather(table as tf.Tensor2D, flat), [...indices.shape, table.shape[1] ?? 0]);
}
