import * as tf from "@tensorflow/tfjs";

/**
 * Rows of a batched table: `out[b, p] = table[b, index[b, p]]`, through a flat gather, whose gradient is one segment sum
 * (the gradient of tfjs' batched gather is wrong).
 *
 * @param table - `[B, N, C]`
 * @param index - `[B, P]` int32
 * @returns `[B * P, C]`
 */
export function gatherRows(table: tf.Tensor3D, index: tf.Tensor2D): tf.Tensor2D {
  const [batch, rows, columns] = table.shape;
  const offsets = tf.mul(tf.range(0, batch, 1, "int32"), tf.scalar(rows, "int32"));
  const flat = tf.add(index, tf.reshape(offsets, [batch, 1]));
  const indices = tf.cast(tf.reshape(flat, [-1]), "int32") as tf.Tensor1D;
  return tf.gather(tf.reshape(table, [batch * rows, columns]), indices) as tf.Tensor2D;
}
