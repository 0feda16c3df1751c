import * as tf from "@tensorflow/tfjs";
import { type Anchors, type DetectionTargets, detectionLoss } from "./detection-loss.js";
import { maskKd, maskLoss, positiveMasks } from "./mask-loss.js";

/** Factors of the loss terms. */
export interface LossGains {
  /** @defaultValue 7.5 */
  readonly box: number;
  /** @defaultValue 0.5 */
  readonly cls: number;
  /** @defaultValue 1.5 */
  readonly dfl: number;
  /** @defaultValue 7.5 */
  readonly seg: number;
  /** Includes the entry of `loss_weights`. @defaultValue 0.5 x 7.5 x 2/3 */
  readonly kdMask: number;
}

/** The spec's gains; `kdMask` = 0.5 x mask gain x the task-normalised loss weight 0.2 / 0.3. */
export const DEFAULT_GAINS: LossGains = { box: 7.5, cls: 0.5, dfl: 1.5, seg: 7.5, kdMask: (0.5 * 7.5 * 2) / 3 };

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
  /** KD ramp of this step, 0..1, a tensor so that it is fed, not baked. */
  readonly kdRamp?: tf.Scalar;
}

/** Raw head outputs of a YOLOv8(-seg) student. */
export interface StudentOutputs {
  /** `[B, 4 * bins, A]` */
  readonly box: tf.Tensor3D;
  /** `[B, C, A]` */
  readonly cls: tf.Tensor3D;
  /** `[B, K, A]` */
  readonly coef?: tf.Tensor3D;
  /** `[B, h, w, K]` */
  readonly proto?: tf.Tensor4D;
}

/** Name of one part of the student loss; `kd_mask` is present only with a mask teacher. */
export type LossPart = "box" | "cls" | "dfl" | "seg" | "kd_mask";

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
  smallBoxExpand = false,
}: {
  outputs: StudentOutputs;
  targets: StudentTargets;
  anchors: Anchors;
  size: readonly [height: number, width: number];
  gains?: LossGains;
  smallBoxExpand?: boolean;
}): { total: tf.Scalar; parts: Partial<Record<LossPart, tf.Scalar>> } {
  const batch = outputs.box.shape[0];
  const { box, cls, dfl, positives } = detectionLoss({
    box: outputs.box,
    cls: outputs.cls,
    anchors,
    targets,
    smallBoxExpand,
  });
  const parts: Partial<Record<LossPart, tf.Scalar>> = {
    box: tf.mul(box, gains.box) as tf.Scalar,
    cls: tf.mul(cls, gains.cls) as tf.Scalar,
    dfl: tf.mul(dfl, gains.dfl) as tf.Scalar,
  };
  const { coef, proto } = outputs;
  const { gtMasks, gtHasMask, teacherMasks, teacherWeights, kdRamp } = targets;
  if (coef && proto && ((gtMasks && gtHasMask) || (teacherMasks && teacherWeights))) {
    const masks = positiveMasks({ coef, proto, positives, size });
    if (gtMasks && gtHasMask) parts.seg = tf.mul(maskLoss({ masks, gtMasks, gtHasMask }), gains.seg);
    if (teacherMasks && teacherWeights && gains.kdMask > 0) {
      const kd = tf.mul(maskKd({ masks, teacherMasks, teacherWeights }), gains.kdMask);
      parts.kd_mask = (kdRamp ? tf.mul(kd, kdRamp) : kd) as tf.Scalar;
    }
  }
  const total = tf.mul(tf.addN(Object.values(parts)), batch) as tf.Scalar;
  return { total, parts };
}
