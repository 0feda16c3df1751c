import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/** Keeps channels without variation finite. */
const DEVIATION_EPSILON = 1e-6;
/** Weights of cells at which a mean is taken over nothing. */
const COUNT_EPSILON = 1e-9;
/** Logit of a cell that does not count, before the softmax. */
const EXCLUDED = -1e9;

/** Student and teacher features of one level on the student's grid. */
export interface FeaturePair {
  /** `[B, h, w, C]`, after the adaptor. */
  readonly student: tf.Tensor4D;
  /** `[B, h, w, C]`. */
  readonly teacher: tf.Tensor4D;
  /** `[B, h, w]` 1 where the teacher saw what the student sees, 0 on padding and mixed pictures. */
  readonly valid: tf.Tensor3D;
}

/** Each channel with mean 0 and population deviation 1 over the cells that count. */
function standardise(x: tf.Tensor4D, weights: tf.Tensor, count: tf.Tensor): tf.Tensor {
  const mean = tf.div(tf.sum(tf.mul(x, weights), [0, 1, 2], true), count);
  const centred = tf.sub(x, mean);
  const variance = tf.div(tf.sum(tf.mul(tf.square(centred), weights), [0, 1, 2], true), count);
  // sqrt has no gradient at 0; a channel without variation (a batch without valid cells) must not give NaN.
  const deviation = tf.sqrt(tf.add(variance, DEVIATION_EPSILON ** 2));
  return tf.div(centred, tf.add(deviation, DEVIATION_EPSILON));
}

/**
 * Feature distillation by correlation (Cao et al., "PKD", 2022): channels standardised over batch and cells on both sides, then MSE / 2, which is 1 - Pearson r and
 * does not care about scale or offset. Mean over channels; 0 without a valid cell.
 * @example student (1, 3, 2, 4) and teacher (1, 2, 3, 4): 0.2
 */
export function pkdLoss({ student, teacher, valid }: FeaturePair): tf.Scalar {
  const weights = tf.expandDims(valid, 3);
  const count = tf.maximum(tf.sum(weights), COUNT_EPSILON);
  const difference = tf.sub(
    standardise(student, weights, count),
    ops.stopGradient(standardise(teacher, weights, count)),
  );
  const channels = student.shape[3];
  return tf.div(tf.sum(tf.mul(tf.square(difference), weights)), tf.mul(count, 2 * channels)) as tf.Scalar;
}

/**
 * Channel-wise distillation (Shu et al., "CWD", 2021): softmax over the cells of each channel, KL(teacher || student) tau^2 / (C N). Pictures without a valid cell count
 * for nothing.
 * @example student (1, 3, 2, 4) and teacher (1, 2, 3, 4), tau 1: 0.1497385
 */
export function cwdLoss({ student, teacher, valid }: FeaturePair, { tau = 1 }: { tau?: number } = {}): tf.Scalar {
  const [batch, height, width, channels] = student.shape;
  const cells = tf.reshape(valid, [batch, 1, height * width]);
  const excluded = tf.mul(tf.sub(1, cells), EXCLUDED);
  const logs = (x: tf.Tensor4D) => {
    const rows = tf.transpose(tf.reshape(x, [batch, height * width, channels]), [0, 2, 1]);
    return tf.logSoftmax(tf.add(tf.div(rows, tau), excluded), -1);
  };
  const logTeacher = ops.stopGradient(logs(teacher));
  const terms = tf.mul(tf.mul(tf.exp(logTeacher), tf.sub(logTeacher, logs(student))), cells);
  const pictures = tf.maximum(tf.sum(tf.max(cells, 2)), 1);
  return tf.div(tf.mul(tf.sum(terms), tau ** 2), tf.mul(pictures, channels)) as tf.Scalar;
}
