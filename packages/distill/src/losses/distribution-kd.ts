import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/**
 * Localisation distillation (Zheng et al., "LD", 2022): KL of the side distributions, KL(softmax(z_t / T) || softmax(z_s / T)) T^2, mean over rows. For teachers that predict
 * distributions over the same bins, which query detectors do not.
 *
 * @param student - `[..., bins]` side logits
 * @param teacher - `[..., bins]`
 * @example teacher .5 bin, student 0, T 1: 1.0721097
 */
export function distributionKd({
  student,
  teacher,
  temperature = 10,
}: {
  student: tf.Tensor;
  teacher: tf.Tensor;
  temperature?: number;
}): tf.Scalar {
  return softDivergence({ student, teacher, temperature });
}

/** KL(softmax(z_t / T) || softmax(z_s / T)) T^2 over the last axis, weighted mean over the rows. */
export function softDivergence({
  student,
  teacher,
  temperature,
  weights,
}: {
  student: tf.Tensor;
  teacher: tf.Tensor;
  temperature: number;
  /** One per row. @defaultValue 1 */
  weights?: tf.Tensor;
}): tf.Scalar {
  const logTeacher = ops.stopGradient(tf.logSoftmax(tf.div(teacher, temperature), -1));
  const logStudent = tf.logSoftmax(tf.div(student, temperature), -1);
  const divergence = tf.sum(tf.mul(tf.exp(logTeacher), tf.sub(logTeacher, logStudent)), -1);
  const mean = weights
    ? tf.div(tf.sum(tf.mul(divergence, weights)), tf.maximum(tf.sum(weights), 1e-9))
    : tf.mean(divergence);
  return tf.mul(mean, temperature ** 2) as tf.Scalar;
}
