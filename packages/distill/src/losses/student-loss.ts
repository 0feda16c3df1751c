import * as tf from "@tensorflow/tfjs";
import { promptedMaskLoss } from "../students/mobile-sam/prompted-mask-loss.js";
import { type Anchors, type DetectionTargets, detectionLoss } from "./detection-loss.js";
import { boxTerm, classTerm, type DistillationForms, featureTerm, softClassTargets } from "./distillation-terms.js";
import type { FeaturePair } from "./feature-kd.js";
import { maskKd, maskLoss, positiveMasks } from "./mask-loss.js";

/** Factors of the loss terms; those of distillation include their entry of `loss_weights`. */
export interface LossGains {
  /** @defaultValue 7.5 */
  readonly box: number;
  /** @defaultValue 0.5 */
  readonly cls: number;
  /** @defaultValue 1.5 */
  readonly dfl: number;
  /** @defaultValue 7.5 */
  readonly seg: number;
  /** Class logits. @defaultValue 1 x 2/3 */
  readonly kdCls: number;
  /** Boxes. @defaultValue 2 x 2/3 */
  readonly kdBox: number;
  /** Masks. @defaultValue 0.5 x 7.5 x 2/3 */
  readonly kdMask: number;
  /** Features, per level. @defaultValue 6 x 2/3 */
  readonly kdFeat: number;
}

/** The design's weights of groups of terms. */
export interface LossWeights {
  /** Boxes, classes, DFL. @defaultValue 0.3 */
  readonly detection: number;
  /** Masks. @defaultValue 0.3 */
  readonly segmentation: number;
  /** What a teacher says of classes, boxes and masks. @defaultValue 0.2 */
  readonly logit: number;
  /** @defaultValue 0.2 */
  readonly feature: number;
}

export const DEFAULT_LOSS_WEIGHTS: LossWeights = { detection: 0.3, segmentation: 0.3, logit: 0.2, feature: 0.2 };

/**
 * Gains of the terms: the published ones times their group's weight. `task` divides all weights by the larger of the two task weights, so that published learning rates keep their meaning; `none` takes
 * them as written, which is a smaller learning rate in disguise.
 *
 * @param segment - whether the student predicts masks
 */
export function lossGains({
  weights = {},
  normalize = "task",
  segment = true,
  gains = {},
}: {
  weights?: Partial<LossWeights>;
  normalize?: "task" | "none";
  segment?: boolean;
  /** Final values of single terms. */
  gains?: Partial<LossGains>;
} = {}): LossGains {
  const w = { ...DEFAULT_LOSS_WEIGHTS, ...weights };
  const largest = normalize === "none" ? 1 : Math.max(w.detection, segment ? w.segmentation : 0);
  // A set of weights without a task term is a mistake that would divide by 0; leave it as it is.
  const share = (value: number) => (largest > 0 ? value / largest : value);
  return {
    box: 7.5 * share(w.detection),
    cls: 0.5 * share(w.detection),
    dfl: 1.5 * share(w.detection),
    seg: 7.5 * share(w.segmentation),
    kdCls: share(w.logit),
    kdBox: 2 * share(w.logit),
    kdMask: 0.5 * 7.5 * share(w.logit),
    kdFeat: 6 * share(w.feature),
    ...gains,
  };
}

/** {@link lossGains} without options. */
export const DEFAULT_GAINS: LossGains = lossGains();

/** Everything a batch supplies to the loss. */
export interface StudentTargets extends DetectionTargets {
  /** `[B, G, h, w]`, 0/1 at prototype size. */
  readonly gtMasks?: tf.Tensor4D;
  /** `[B, G]` */
  readonly gtHasMask?: tf.Tensor2D;
  /** `[B, G, h, w]` probabilities. */
  readonly teacherMasks?: tf.Tensor4D;
  /** `[B, G]` */
  readonly teacherWeights?: tf.Tensor2D;
  /** `[B, G, C]` calibrated logits of the teacher. */
  readonly classLogits?: tf.Tensor3D;
  /** `[B, G]` its scores, 0 without a detection. */
  readonly classScores?: tf.Tensor2D;
  /** `[B, G, 4]` boxes of the teacher. */
  readonly teacherBoxes?: tf.Tensor3D;
  /** `[B, G]` its scores, 0 where its box does not fit. */
  readonly boxScores?: tf.Tensor2D;
  /** KD ramp of this step, 0..1, a tensor so that it is fed, not baked. */
  readonly kdRamp?: tf.Scalar;
  /** Factor that keeps the feature term's gradient below half of the task's. */
  readonly featureScale?: tf.Scalar;
}

/**
 * Weights of the labels' masks where a teacher cut the same objects out: together the two weigh what the label weighs alone, 1 - share x teacher weight for the label. Added on top of it, a teacher
 * would shift the step from boxes and classes to masks.
 *
 * @param gtHasMask - `[B, G]` 1 or 0
 * @param teacherWeights - `[B, G]` 0..1, 0 without a teacher's mask
 * @param share - of the teacher, gain against gain, times the ramp; 0..1
 * @returns `[B, G]`
 */
export function sharedMaskWeights({
  gtHasMask,
  teacherWeights,
  share,
}: {
  gtHasMask: tf.Tensor2D;
  teacherWeights: tf.Tensor2D;
  share: tf.Tensor | number;
}): tf.Tensor2D {
  return tf.mul(gtHasMask, tf.sub(1, tf.mul(teacherWeights, share))) as tf.Tensor2D;
}

/** Raw head outputs of a student. */
export interface StudentOutputs {
  /** `[B, 4 * bins, A]` */
  readonly box: tf.Tensor3D;
  /** `[B, C, A]` */
  readonly cls: tf.Tensor3D;
  /** `[B, K, A]` */
  readonly coef?: tf.Tensor3D;
  /** `[B, h, w, K]` */
  readonly proto?: tf.Tensor4D;
  /** `[B, h, w, C]` maps of strides 8, 16, 32, where the student has them. */
  readonly features?: readonly tf.Tensor4D[];
  /** Mask logits `[B, P, h, w]` of boxes `[B, P, 4]`, xyxy in input pixels: a student whose boxes prompt its masks. */
  readonly promptedMasks?: (boxes: tf.Tensor3D) => tf.Tensor4D;
}

/** Name of one part of the student loss; a `kd_` part is present only with what it needs of a teacher. */
export type LossPart = "box" | "cls" | "dfl" | "seg" | "kd_cls" | "kd_box" | "kd_mask" | "kd_feat";

/**
 * Weighted loss of a batch. `total` = B x sum of the parts, so that gradients add over images; parts carry their gains but not B.
 *
 * @param size - network input `[height, width]` in pixels
 */
export function studentLoss({
  outputs,
  targets,
  anchors,
  size,
  gains = DEFAULT_GAINS,
  forms = {},
  features = [],
  smallBoxExpand = false,
}: {
  outputs: StudentOutputs;
  targets: StudentTargets;
  anchors: Anchors;
  size: readonly [height: number, width: number];
  gains?: LossGains;
  forms?: DistillationForms;
  /** Adapted student features with the teacher's, one pair per level. */
  features?: readonly FeaturePair[];
  smallBoxExpand?: boolean;
}): { total: tf.Scalar; parts: Partial<Record<LossPart, tf.Scalar>> } {
  const batch = outputs.box.shape[0];
  const { classLogits, classScores, teacherBoxes, boxScores, featureScale } = targets;
  const ramp = targets.kdRamp ?? 1;
  const teachesClasses = classLogits !== undefined && classScores !== undefined && gains.kdCls > 0;
  const { softTargets = 0.3 } = forms;
  const soft = teachesClasses && softTargets > 0;
  const share = tf.mul(ramp, softTargets);
  const { box, cls, dfl, positives, predicted } = detectionLoss({
    box: outputs.box,
    cls: outputs.cls,
    anchors,
    targets: soft
      ? { ...targets, gtTargets: softClassTargets({ gtClasses: targets.gtClasses, classLogits, classScores, share }) }
      : targets,
    smallBoxExpand,
  });
  const parts: Partial<Record<LossPart, tf.Scalar>> = {
    box: tf.mul(box, gains.box) as tf.Scalar,
    cls: tf.mul(cls, gains.cls) as tf.Scalar,
    dfl: tf.mul(dfl, gains.dfl) as tf.Scalar,
  };
  const { coef, proto, promptedMasks } = outputs;
  const { gtMasks, gtHasMask, teacherMasks, teacherWeights } = targets;
  const hasTruth = gtMasks !== undefined && gtHasMask !== undefined;
  const hasTeacher = teacherMasks !== undefined && teacherWeights !== undefined && gains.kdMask > 0;
  const maskShare = Math.min(1, gains.kdMask / gains.seg);
  const truthWeights =
    hasTruth && hasTeacher
      ? sharedMaskWeights({ gtHasMask, teacherWeights, share: tf.mul(ramp, maskShare) })
      : gtHasMask;
  let seg: tf.Scalar | undefined;
  let kd: tf.Scalar | undefined;
  if (coef && proto && (hasTruth || hasTeacher)) {
    const masks = positiveMasks({ coef, proto, positives, size });
    if (hasTruth) seg = maskLoss({ masks, gtMasks, weights: truthWeights! });
    if (hasTeacher) kd = maskKd({ masks, teacherMasks, teacherWeights });
  } else if (promptedMasks && (hasTruth || hasTeacher)) {
    const logits = promptedMasks(targets.gtBoxes);
    if (hasTruth) seg = promptedMaskLoss({ logits, gtMasks, weights: truthWeights! });
    if (hasTeacher) kd = promptedMaskLoss({ logits, gtMasks: teacherMasks, weights: teacherWeights });
  }
  if (seg) parts.seg = tf.mul(seg, gains.seg);
  const kdTerm = (value: tf.Scalar, gain: number) => tf.mul(tf.mul(value, gain), ramp) as tf.Scalar;
  if (teachesClasses)
    parts.kd_cls = kdTerm(classTerm({ cls: outputs.cls, positives, classLogits, classScores, forms }), gains.kdCls);
  if (teacherBoxes && boxScores && gains.kdBox > 0)
    parts.kd_box = kdTerm(boxTerm({ predicted, positives, teacherBoxes, boxScores }), gains.kdBox);
  if (kd) parts.kd_mask = kdTerm(kd, gains.kdMask);
  if (features.length > 0 && gains.kdFeat > 0) {
    const term = kdTerm(featureTerm(features, forms), gains.kdFeat);
    parts.kd_feat = featureScale ? (tf.mul(term, featureScale) as tf.Scalar) : term;
  }
  const total = tf.mul(tf.addN(Object.values(parts)), batch) as tf.Scalar;
  return { total, parts };
}
