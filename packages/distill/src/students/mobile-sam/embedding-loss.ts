import * as tf from "@tensorflow/tfjs";

/**
 * Stage 1 of MobileSAM's training: the encoder's embedding against that of a larger SAM, mean over all elements of (a - b)^2, or of the Huber form
 * min(|d|, delta) (|d| - min(|d|, delta) / 2), which does not follow outliers.
 *
 * @param student - [B, g, g, C]
 * @param teacher - the same shape; no gradient flows to it
 * @param form - @defaultValue "mse"
 * @param delta - of the Huber form @defaultValue 1
 * @throws RangeError for embeddings of different grids: teacher and student need the same `imgsz / 16`
 */
export function embeddingLoss({
  student,
  teacher,
  form = "mse",
  delta = 1,
}: {
  student: tf.Tensor4D;
  teacher: tf.Tensor4D;
  form?: "mse" | "huber";
  delta?: number;
}): tf.Scalar {
  if (student.shape.join() !== teacher.shape.join()) {
    throw new RangeError(
      `Embeddings of shapes [${student.shape.join()}] and [${teacher.shape.join()}] cannot be compared: give both networks the same input side.`,
    );
  }
  const difference = tf.sub(student, teacher);
  if (form === "mse") return tf.mean(tf.square(difference)) as tf.Scalar;
  const distance = tf.abs(difference);
  const near = tf.minimum(distance, delta);
  return tf.mean(tf.mul(near, tf.sub(distance, tf.div(near, 2)))) as tf.Scalar;
}
