import * as tf from "@tensorflow/tfjs";
import { bceWithLogits } from "./bce.js";
import { generalizedIou } from "./box-iou.js";
import { softDivergence } from "./distribution-kd.js";

/**
 * Sigmoid logit distillation: sum over anchors and classes of m BCE(z_s, sigma(z_t / T)) |sigma(z_t) - sigma(z_s)|^beta / sum m. The
 * modulating factor is part of the gradient.
 *
 * @param student - `[B, C, A]` logits
 * @param teacher - `[B, C, A]` logits
 * @param anchorWeights - `[B, A]`
 */
export function logitKd({
  student,
  teacher,
  anchorWeights,
  temperature = 1,
  beta = 1,
}: {
  student: tf.Tensor3D;
  teacher: tf.Tensor3D;
  anchorWeights: tf.Tensor2D;
  temperature?: number;
  beta?: number;
}): tf.Scalar {
  const soft = tf.sigmoid(tf.div(teacher, temperature));
  const gap = tf.abs(tf.sub(tf.sigmoid(teacher), tf.sigmoid(student)));
  const term = tf.mul(bceWithLogits(student, soft), beta === 1 ? gap : tf.pow(gap, beta));
  const perAnchor = tf.sum(term, 1);
  return tf.div(tf.sum(tf.mul(perAnchor, anchorWeights)), tf.maximum(tf.sum(anchorWeights), 1e-9)) as tf.Scalar;
}

/**
 * Binary form of {@link logitKd}: sum over classes of KL(sigma(z_t / T) || sigma(z_s / T)) T^2, weighted mean over anchors.
 *
 * @param student - `[B, C, A]` logits
 * @param teacher - `[B, C, A]` logits
 * @param anchorWeights - `[B, A]`
 */
export function binaryKd({
  student,
  teacher,
  anchorWeights,
  temperature = 1,
}: {
  student: tf.Tensor3D;
  teacher: tf.Tensor3D;
  anchorWeights: tf.Tensor2D;
  temperature?: number;
}): tf.Scalar {
  const scaledTeacher = tf.div(teacher, temperature);
  const soft = tf.sigmoid(scaledTeacher);
  // KL = cross-entropy - entropy of the teacher.
  const divergence = tf.sub(bceWithLogits(tf.div(student, temperature), soft), bceWithLogits(scaledTeacher, soft));
  const perAnchor = tf.sum(divergence, 1);
  const mean = tf.div(tf.sum(tf.mul(perAnchor, anchorWeights)), tf.maximum(tf.sum(anchorWeights), 1e-9));
  return tf.mul(mean, temperature ** 2) as tf.Scalar;
}

/**
 * Softmax logit distillation, KL(softmax(z_t / T) || softmax(z_s / T)) T^2 over the last axis, weighted mean over rows.
 *
 * @param student - `[N, C]` logits, C >= 2 (it is identically 0 for one class: use {@link logitKd})
 * @param teacher - `[N, C]` logits
 * @param weights - `[N]` @defaultValue 1
 */
export function softmaxKd({
  student,
  teacher,
  temperature = 4,
  weights,
}: {
  student: tf.Tensor2D;
  teacher: tf.Tensor2D;
  temperature?: number;
  weights?: tf.Tensor1D;
}): tf.Scalar {
  return softDivergence({ student, teacher, temperature, ...(weights ? { weights } : {}) });
}

/**
 * Box distillation: sum s_t (1 - GIoU(b_s, b_t)) / sum s_t.
 *
 * @param student - `[N, 4]` xyxy
 * @param teacher - `[N, 4]` xyxy
 * @param weights - `[N]` teacher scores, 0 where teacher and ground truth disagree
 */
export function boxKd({
  student,
  teacher,
  weights,
}: {
  student: tf.Tensor2D;
  teacher: tf.Tensor2D;
  weights: tf.Tensor1D;
}): tf.Scalar {
  const terms = tf.mul(weights, tf.sub(1, generalizedIou(student, teacher)));
  return tf.div(tf.sum(terms), tf.maximum(tf.sum(weights), 1e-9)) as tf.Scalar;
}
