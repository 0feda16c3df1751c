import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { bceWithLogits } from "./bce.js";
import { generalizedIou } from "./box-iou.js";

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
 * Softmax logit distillation, KL(softmax(z_t / T) || softmax(z_s / T)) T^2 over the last axis, averaged over rows.
 *
 * @param student - `[N, C]` logits, C >= 2 (it is identically 0 for one class: use {@link logitKd})
 * @param teacher - `[N, C]` logits
 */
export function softmaxKd({
  student,
  teacher,
  temperature = 4,
}: {
  student: tf.Tensor2D;
  teacher: tf.Tensor2D;
  temperature?: number;
}): tf.Scalar {
  const logTeacher = ops.stopGradient(tf.logSoftmax(tf.div(teacher, temperature), -1));
  const logStudent = tf.logSoftmax(tf.div(student, temperature), -1);
  const divergence = tf.sum(tf.mul(tf.exp(logTeacher), tf.sub(logTeacher, logStudent)), -1);
  return tf.mul(tf.mean(divergence), temperature ** 2) as tf.Scalar;
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
