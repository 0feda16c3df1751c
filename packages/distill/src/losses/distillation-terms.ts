import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { Positives } from "./detection-loss.js";
import { cwdLoss, type FeaturePair, pkdLoss } from "./feature-kd.js";
import { gatherRows } from "./gather-rows.js";
import { binaryKd, boxKd, logitKd, softmaxKd } from "./logit-kd.js";
import { oneHot } from "./one-hot.js";

/** Forms and temperatures of the distillation terms. */
export interface DistillationForms {
  /**
   * Of the class term. `sigmoid`: BCE per class, weighted by how far student and teacher are apart; `binary`: KL per class; `softmax`: KL over classes, which needs two classes and cannot
   * say "nothing here". @defaultValue "sigmoid"
   */
  readonly kl?: "sigmoid" | "binary" | "softmax";
  /** Of `sigmoid` and `binary`, and of the mask teacher's logits. @defaultValue 1 */
  readonly sigmoidTemperature?: number;
  /** Of `softmax`. @defaultValue 4 */
  readonly temperature?: number;
  /** Exponent of the distance factor of `sigmoid`. @defaultValue 1 */
  readonly beta?: number;
  /** Share of the teacher's probabilities in the class targets of positives. @defaultValue 0.3 */
  readonly softTargets?: number;
  /** Of the feature term. @defaultValue "pkd" */
  readonly feature?: "pkd" | "cwd";
}

/** One value per positive of a per-truth table `[B, G]`, 0 in empty rows: `[B * P]`. */
function ofPositives(values: tf.Tensor2D, { truths, used }: Positives): tf.Tensor1D {
  const rows = gatherRows(tf.expandDims(values, 2) as tf.Tensor3D, truths);
  return tf.mul(tf.reshape(rows, [-1]), used) as tf.Tensor1D;
}

/**
 * Class targets of the ground truths that a teacher confirms: (1 - share) one-hot + share sigma(z_t); one-hot for the others.
 *
 * @param share - of the teacher, times the ramp
 * @returns `[B, G, C]`
 */
export function softClassTargets({
  gtClasses,
  classLogits,
  classScores,
  share,
}: {
  gtClasses: tf.Tensor2D;
  classLogits: tf.Tensor3D;
  classScores: tf.Tensor2D;
  share: tf.Tensor | number;
}): tf.Tensor3D {
  const hard = oneHot(gtClasses, classLogits.shape[2]);
  const confirmed = tf.expandDims(tf.cast(tf.greater(classScores, 0), "float32"), 2);
  const step = tf.mul(tf.mul(tf.sub(tf.sigmoid(classLogits), hard), confirmed), share);
  return tf.add(hard, step) as tf.Tensor3D;
}

/**
 * Class term: student logits of the positives against the teacher's logits of their ground truths, each weighted by the teacher's score. Positives are the anchors inside a teacher's box whose
 * boxes are trained; the others inside it are background for the task loss, and teaching them the class would only make confident boxes in wrong places.
 *
 * @param cls - `[B, C, A]` student logits
 * @param classLogits - `[B, G, C]`, @param classScores - `[B, G]` 0 without a teacher
 */
export function classTerm({
  cls,
  positives,
  classLogits,
  classScores,
  forms,
}: {
  cls: tf.Tensor3D;
  positives: Positives;
  classLogits: tf.Tensor3D;
  classScores: tf.Tensor2D;
  forms: DistillationForms;
}): tf.Scalar {
  const { kl = "sigmoid", sigmoidTemperature = 1, temperature = 4, beta = 1 } = forms;
  const student = gatherRows(tf.transpose(cls, [0, 2, 1]) as tf.Tensor3D, positives.anchors);
  const teacher = gatherRows(classLogits, positives.truths);
  const weights = ofPositives(classScores, positives);
  // With one class the softmax is 1 on both sides.
  if (kl === "softmax" && cls.shape[1] > 1) return softmaxKd({ student, teacher, temperature, weights });
  const columns = {
    student: tf.expandDims(student, 2) as tf.Tensor3D,
    teacher: tf.expandDims(teacher, 2) as tf.Tensor3D,
    anchorWeights: tf.expandDims(weights, 1) as tf.Tensor2D,
    temperature: sigmoidTemperature,
  };
  return kl === "binary" ? binaryKd(columns) : logitKd({ ...columns, beta });
}

/**
 * Box term: predicted boxes of the positives against the teacher's box of their ground truths.
 *
 * @param predicted - `[B * P, 4]` xyxy in input pixels
 * @param teacherBoxes - `[B, G, 4]`, @param boxScores - `[B, G]` 0 where the teacher has no box there
 */
export function boxTerm({
  predicted,
  positives,
  teacherBoxes,
  boxScores,
}: {
  predicted: tf.Tensor2D;
  positives: Positives;
  teacherBoxes: tf.Tensor3D;
  boxScores: tf.Tensor2D;
}): tf.Scalar {
  const teacher = ops.stopGradient(gatherRows(teacherBoxes, positives.truths)) as tf.Tensor2D;
  return boxKd({ student: predicted, teacher, weights: ofPositives(boxScores, positives) });
}

/** Factor that puts CWD, whose values are small, beside PKD. */
const CWD_GAIN = 10 / 6;

/** Feature term: sum over levels. */
export function featureTerm(pairs: readonly FeaturePair[], { feature = "pkd" }: DistillationForms): tf.Scalar {
  const losses = pairs.map((pair) => (feature === "cwd" ? tf.mul(cwdLoss(pair), CWD_GAIN) : pkdLoss(pair)));
  return tf.addN(losses) as tf.Scalar;
}
