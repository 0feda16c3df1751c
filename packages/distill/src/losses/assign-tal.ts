import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { pairwiseCompleteIou } from "./box-iou.js";
import { oneHot } from "./one-hot.js";

/** Input of {@link assignTal}. B images, A anchors, G padded ground truths, C classes; boxes xyxy in input pixels. */
export interface AssignTalInput {
  /** `[B, C, A]` class probabilities. */
  readonly scores: tf.Tensor3D;
  /** `[B, A, 4]` predicted boxes. */
  readonly boxes: tf.Tensor3D;
  /** `[A, 2]` anchor centres (x, y) in pixels. */
  readonly centers: tf.Tensor2D;
  /** `[B, G, 4]`; padding rows are arbitrary. */
  readonly gtBoxes: tf.Tensor3D;
  /** `[B, G]` int32. */
  readonly gtClasses: tf.Tensor2D;
  /** `[B, G]` 1 for a ground truth, 0 for padding. */
  readonly gtValid: tf.Tensor2D;
  /** Anchors per ground truth. @defaultValue 10 */
  readonly topk?: number;
  /** Exponent of the class probability. @defaultValue 0.5 */
  readonly alpha?: number;
  /** Exponent of the overlap. @defaultValue 6 */
  readonly beta?: number;
  /** `[B, G, C]` class targets of the ground truths, soft ones of a teacher. @defaultValue one-hot `gtClasses` */
  readonly gtTargets?: tf.Tensor3D;
  /** `[B, G]` factors of the target scores: below 1 for labels that a teacher made. @defaultValue 1 */
  readonly gtWeights?: tf.Tensor2D;
  /** Sides below 8 px count as 16 px when candidates are selected. @defaultValue false */
  readonly smallBoxExpand?: boolean;
}

/** Result of {@link assignTal}; nothing in it is connected to the gradient tape. */
export interface Assignment {
  /** `[B, C, A]` soft class targets. */
  readonly targetScores: tf.Tensor3D;
  /** `[B, A]` sum of the target scores over classes: the weight of the anchor. */
  readonly weights: tf.Tensor2D;
  /** `[B, A]` int32, ground truth of each anchor; 0 where not foreground. */
  readonly targetIndex: tf.Tensor2D;
  /** `[B, A]` 1 where an anchor is assigned, else 0. */
  readonly foreground: tf.Tensor2D;
}

/** A centre on the border of a box is outside. */
const INSIDE_EPSILON = 1e-9;
const ALIGN_EPSILON = 1e-9;

function candidatesOf({ centers, gtBoxes, gtValid, smallBoxExpand }: AssignTalInput): tf.Tensor3D {
  const [batch, truths] = gtValid.shape;
  const anchors = centers.shape[0];
  const x = tf.reshape(tf.slice(centers, [0, 0], [anchors, 1]), [1, 1, anchors]);
  const y = tf.reshape(tf.slice(centers, [0, 1], [anchors, 1]), [1, 1, anchors]);
  let [x1, y1, x2, y2] = tf.split(gtBoxes, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  if (smallBoxExpand) {
    const grow = (low: tf.Tensor, high: tf.Tensor): [tf.Tensor, tf.Tensor] => {
      const side = tf.sub(high, low);
      const extra = tf.mul(tf.cast(tf.less(side, 8), "float32"), tf.mul(tf.sub(16, side), 0.5));
      return [tf.sub(low, extra), tf.add(high, extra)];
    };
    [x1, x2] = grow(x1, x2);
    [y1, y2] = grow(y1, y2);
  }
  const horizontal = tf.minimum(tf.sub(x, x1), tf.sub(x2, x));
  const vertical = tf.minimum(tf.sub(y, y1), tf.sub(y2, y));
  const inside = tf.cast(tf.greater(tf.minimum(horizontal, vertical), INSIDE_EPSILON), "float32");
  return tf.mul(inside, tf.reshape(gtValid, [batch, truths, 1])) as tf.Tensor3D;
}

function power(x: tf.Tensor, exponent: number): tf.Tensor {
  if (exponent === 1) return x;
  if (exponent === 0.5) return tf.sqrt(x);
  if (exponent === 6) {
    const squared = tf.square(x);
    return tf.mul(tf.square(squared), squared);
  }
  return tf.pow(x, exponent);
}

/**
 * Task-aligned assignment (Feng et al., "TOOD", 2021) as one fixed-shape tensor program without data-dependent control flow.
 *
 * Candidates are anchors whose centre lies strictly inside the box. overlap = max(CIoU, 0), align = p(class)^alpha overlap^beta.
 * Each ground truth claims its `topk` best candidates (ties: lower anchor); an anchor claimed twice goes to the claimant with
 * the larger overlap (tie: lower ground truth). Target score at the ground truth's class = align * maxOverlap / (maxAlign + 1e-9),
 * both maxima over the anchors the ground truth kept, times `gtWeights`; with `gtTargets` spread over classes. Inputs are detached here.
 */
export function assignTal(input: AssignTalInput): Assignment {
  const { topk = 10, alpha = 0.5, beta = 6, gtBoxes, gtClasses } = input;
  return tf.tidy(() => {
    const scores = ops.stopGradient(input.scores);
    const boxes = ops.stopGradient(input.boxes);
    const classes = scores.shape[1];
    const truths = gtBoxes.shape[1];
    const anchors = scores.shape[2];
    const candidates = candidatesOf(input);

    const classWeights = oneHot(gtClasses, classes) as tf.Tensor3D;
    // A one-hot product selects: every other summand is exactly 0.
    const probability = tf.matMul(classWeights, scores) as tf.Tensor3D;
    const overlap = tf.mul(tf.relu(pairwiseCompleteIou(gtBoxes, boxes)), candidates) as tf.Tensor3D;
    const align = tf.mul(power(probability, alpha), power(overlap, beta)) as tf.Tensor3D;
    // Non-candidates have alignment 0 and get -1: they rank below candidates of alignment 0 and never take a place.
    const ranked = tf.add(align, tf.sub(candidates, 1));
    const claimed = tf.mul(ops.topkMask(ranked, Math.min(topk, anchors)), candidates) as tf.Tensor3D;
    // Claimants rank by overlap >= 0, all others at -1; argMax takes the lowest index of equals.
    const preference = tf.add(tf.mul(overlap, claimed), tf.sub(claimed, 1));
    const targetIndex = tf.cast(tf.argMax(preference, 1), "int32") as tf.Tensor2D;
    const winners = tf.transpose(oneHot(targetIndex, truths), [0, 2, 1]);
    const kept = tf.mul(winners, claimed) as tf.Tensor3D;
    const keptAlign = tf.mul(align, kept);
    const maxAlign = tf.max(keptAlign, 2, true);
    const maxOverlap = tf.max(tf.mul(overlap, kept), 2, true);
    const quality = tf.mul(keptAlign, tf.div(maxOverlap, tf.add(maxAlign, ALIGN_EPSILON))) as tf.Tensor3D;
    const { gtWeights, gtTargets = classWeights } = input;
    const score = gtWeights ? (tf.mul(quality, tf.expandDims(gtWeights, 2)) as tf.Tensor3D) : quality;
    const targetScores = tf.matMul(tf.transpose(gtTargets, [0, 2, 1]), score) as tf.Tensor3D;
    const weights = tf.sum(score, 1) as tf.Tensor2D;
    const foreground = tf.max(kept, 1) as tf.Tensor2D;
    return { targetScores, weights, targetIndex, foreground };
  });
}
