import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { type Assignment, assignTal } from "./assign-tal.js";
import { bceWithLogits } from "./bce.js";
import { completeIou } from "./box-iou.js";
import { distributionExpectation, distributionFocalLoss } from "./distribution-focal.js";
import { gatherRows } from "./gather-rows.js";

/** Anchor centres of all levels, P3 to P5, row-major. */
export interface Anchors {
  /** `[A, 2]` centres (x, y) in input pixels. */
  readonly centers: tf.Tensor2D;
  /** `[A]` pixels per cell. */
  readonly strides: tf.Tensor1D;
}

/** Ground truths of a batch, padded to G rows per image. */
export interface DetectionTargets {
  /** `[B, G, 4]` xyxy in input pixels. */
  readonly gtBoxes: tf.Tensor3D;
  /** `[B, G]` int32. */
  readonly gtClasses: tf.Tensor2D;
  /** `[B, G]` 1 or 0 (padding). */
  readonly gtValid: tf.Tensor2D;
  /** `[B, G, C]` soft class targets. @defaultValue one-hot `gtClasses` */
  readonly gtTargets?: tf.Tensor3D;
  /** `[B, G]` trust in each ground truth. @defaultValue 1 */
  readonly gtWeights?: tf.Tensor2D;
  /** `[B, A]` 1 for anchors in ignored regions: without a class loss unless they are assigned. @defaultValue 0 */
  readonly ignored?: tf.Tensor2D;
  /** Rows P reserved for positives of one image; at least the largest possible number of positives. */
  readonly positives: number;
}

/** Positives of a batch in fixed-size form: P rows per image, the last ones empty. */
export interface Positives {
  /** `[B, P]` int32 anchor of each row, ascending among the used rows. */
  readonly anchors: tf.Tensor2D;
  /** `[B, P]` int32 ground truth of each row. */
  readonly truths: tf.Tensor2D;
  /** `[B * P]` 1 for a positive, 0 for an empty row. */
  readonly used: tf.Tensor1D;
  /** `[B * P, 4]` ground-truth boxes, xyxy in input pixels. */
  readonly boxes: tf.Tensor2D;
}

/** Unweighted detection losses (no gains, not multiplied by B), and what the mask losses need. */
export interface DetectionLoss {
  /** Sum of w (1 - CIoU) / tss. */
  readonly box: tf.Scalar;
  /** Sum of BCE over all anchors and classes / tss. */
  readonly cls: tf.Scalar;
  /** Sum of w times the mean DFL of the four sides / tss. */
  readonly dfl: tf.Scalar;
  readonly assignment: Assignment;
  readonly positives: Positives;
  /** `[B * P, 4]` predicted boxes of the positives, xyxy in input pixels. */
  readonly predicted: tf.Tensor2D;
}

/** Integer index rows out of a float table; both are detached. */
function pick(table: tf.Tensor2D, index: tf.Tensor2D): tf.Tensor1D {
  const [batch, size] = table.shape;
  return tf.reshape(gatherRows(tf.reshape(table, [batch, size, 1]), index), [-1]) as tf.Tensor1D;
}

/**
 * Collects the positives of each image into P rows. The k-th foreground anchor comes k-th (top-k of a 0/1 vector, ties by index).
 */
function collectPositives({
  assignment,
  gtBoxes,
  count,
}: {
  assignment: Assignment;
  gtBoxes: tf.Tensor3D;
  count: number;
}): Positives {
  const { values, indices } = tf.topk(assignment.foreground, count, true);
  const anchors = tf.cast(indices, "int32") as tf.Tensor2D;
  const [batch] = anchors.shape;
  const truthOfAnchor = tf.cast(assignment.targetIndex, "float32") as tf.Tensor2D;
  const truths = tf.reshape(tf.cast(pick(truthOfAnchor, anchors), "int32"), [batch, count]) as tf.Tensor2D;
  const used = tf.reshape(values, [-1]) as tf.Tensor1D;
  return { anchors, truths, used, boxes: gatherRows(gtBoxes, truths) };
}

/** Boxes from distances to the four sides, all in one unit: (x - l, y - t, x + r, y + b). */
function boxesFromDistances(centers: tf.Tensor, distances: tf.Tensor): tf.Tensor {
  const [leftTop, rightBottom] = tf.split(distances, 2, -1) as [tf.Tensor, tf.Tensor];
  return tf.concat([tf.sub(centers, leftTop), tf.add(centers, rightBottom)], -1);
}

/**
 * Predicted boxes of all anchors, detached from the tape.
 *
 * @param logits - `[B, A, 4 * bins]`
 * @returns `[B, A, 4]` xyxy in input pixels
 */
export function decodeBoxes(logits: tf.Tensor3D, { centers, strides }: Anchors): tf.Tensor3D {
  const [batch, anchors, channels] = logits.shape;
  return tf.tidy(() => {
    const distances = distributionExpectation(tf.reshape(ops.stopGradient(logits), [batch, anchors, 4, channels / 4]));
    const pixels = tf.mul(distances, tf.reshape(strides, [1, anchors, 1]));
    return boxesFromDistances(tf.reshape(centers, [1, anchors, 2]), pixels) as tf.Tensor3D;
  });
}

/**
 * YOLOv8 detection losses: task-aligned targets, CIoU, distribution focal and class BCE.
 * tss = max(sum of target scores, 1) over the batch. Without a ground truth only `cls` is non-zero.
 *
 * @param box - `[B, 4 * bins, A]` side logits (left, top, right, bottom), distances in stride units
 * @param cls - `[B, C, A]` class logits
 */
export function detectionLoss({
  box,
  cls,
  anchors,
  targets,
  smallBoxExpand = false,
}: {
  box: tf.Tensor3D;
  cls: tf.Tensor3D;
  anchors: Anchors;
  targets: DetectionTargets;
  smallBoxExpand?: boolean;
}): DetectionLoss {
  const [batch, channels, anchorCount] = box.shape;
  const bins = channels / 4;
  const count = Math.min(targets.positives, anchorCount);
  const { gtBoxes, gtClasses, gtValid, gtTargets, gtWeights, ignored } = targets;
  const rows = tf.transpose(box, [0, 2, 1]) as tf.Tensor3D;
  const assignment = assignTal({
    scores: tf.sigmoid(ops.stopGradient(cls)),
    boxes: decodeBoxes(rows, anchors),
    centers: anchors.centers,
    gtBoxes,
    gtClasses,
    gtValid,
    ...(gtTargets ? { gtTargets } : {}),
    ...(gtWeights ? { gtWeights } : {}),
    smallBoxExpand,
  });
  const scoreSum = tf.maximum(tf.sum(assignment.weights), 1);
  let entropy = bceWithLogits(cls, assignment.targetScores);
  if (ignored) {
    const counted = tf.maximum(tf.sub(1, ignored), assignment.foreground);
    entropy = tf.mul(entropy, tf.expandDims(counted, 1));
  }
  const clsLoss = tf.div(tf.sum(entropy), scoreSum);

  const positives = collectPositives({ assignment, gtBoxes, count });
  const flatAnchors = tf.reshape(positives.anchors, [-1]) as tf.Tensor1D;
  const stride = tf.expandDims(tf.gather(anchors.strides, flatAnchors), -1);
  const center = tf.div(tf.gather(anchors.centers, flatAnchors), stride);
  const truth = tf.div(positives.boxes, stride);
  const weight = tf.mul(pick(assignment.weights, positives.anchors), positives.used);
  const logits = tf.reshape(gatherRows(rows, positives.anchors), [batch * count, 4, bins]);
  const predicted = boxesFromDistances(center, distributionExpectation(logits));
  const boxLoss = tf.div(tf.sum(tf.mul(weight, tf.sub(1, completeIou(predicted, truth)))), scoreSum);

  const [truthLow, truthHigh] = tf.split(truth, 2, -1) as [tf.Tensor, tf.Tensor];
  const distances = tf.concat([tf.sub(center, truthLow), tf.sub(truthHigh, center)], -1);
  const dfl = tf.div(tf.sum(tf.mul(weight, tf.mean(distributionFocalLoss(logits, distances), -1))), scoreSum);
  return {
    box: boxLoss as tf.Scalar,
    cls: clsLoss as tf.Scalar,
    dfl: dfl as tf.Scalar,
    assignment,
    positives,
    predicted: tf.mul(predicted, stride) as tf.Tensor2D,
  };
}
