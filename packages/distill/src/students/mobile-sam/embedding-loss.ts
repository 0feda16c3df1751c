import * as tf from "@tensorflow/tfjs";

/**
 * Stage 1 of MobileSAM's training: the encoder's embedding against that of a larger SAM, mean over all elements of (a - b)^2, or of the Huber form
 * min(|d|, delta) (|d| - min(|d|, delta) / 2), which does not follow outliers. With `valid` the mean is over the cells of weight 1.
 *
 * @param student - [B, g, g, C]
 * @param teacher - the same shape; no gradient flows to it
 * @param valid - [B, g, g] 1 where a cell counts, 0 on padding; all count when absent
 * @param form - @defaultValue "mse"
 * @param delta - of the Huber form @defaultValue 1
 * @throws RangeError for embeddings of different grids: teacher and student need the same `imgsz / 16`
 */
export function embeddingLoss({
  student,
  teacher,
  valid,
  form = "mse",
  delta = 1,
}: {
  student: tf.Tensor4D;
  teacher: tf.Tensor4D;
  valid?: tf.Tensor3D;
  form?: "mse" | "huber";
  delta?: number;
}): tf.Scalar {
  if (student.shape.join() !== teacher.shape.join()) {
    throw new RangeError(
      `Embeddings of shapes [${student.shape.join()}] and [${teacher.shape.join()}] cannot be compared: give both networks the same input side.`,
    );
  }
  const difference = tf.sub(student, teacher);
  const distance = tf.abs(difference);
  const near = tf.minimum(distance, delta);
  const each = form === "mse" ? tf.square(difference) : tf.mul(near, tf.sub(distance, tf.div(near, 2)));
  if (valid === undefined) return tf.mean(each) as tf.Scalar;
  const cells = tf.sum(valid);
  return tf.div(tf.sum(tf.mul(tf.mean(each, 3), valid)), tf.maximum(cells, 1)) as tf.Scalar;
}
