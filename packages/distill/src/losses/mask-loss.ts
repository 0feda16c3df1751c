import * as tf from "@tensorflow/tfjs";
import { bceWithLogits } from "./bce.js";
import type { Positives } from "./detection-loss.js";
import { gatherRows } from "./gather-rows.js";

/** Cells; a one-pixel box has 1/16. */
const MIN_AREA = 0.01;

/** Mask logits of the positives, their crop and normalisation, shared by {@link maskLoss} and {@link maskKd}. */
export interface PositiveMasks {
  /** `[B, P, h * w]` coefficients times prototypes. */
  readonly logits: tf.Tensor3D;
  /** `[B, P, h * w]` 1 inside the ground-truth box: x1 <= column < x2, y1 <= row < y2 in prototype units. */
  readonly crop: tf.Tensor3D;
  /** `[B, P]` area of the ground-truth box in prototype cells. */
  readonly area: tf.Tensor2D;
  readonly positives: Positives;
  readonly batch: number;
  readonly count: number;
}

/** 1 where low <= index < high, `[B, P, size]`. */
function interval(low: tf.Tensor, high: tf.Tensor, size: number): tf.Tensor {
  const index = tf.range(0, size, 1, "float32");
  return tf.mul(tf.cast(tf.greaterEqual(index, low), "float32"), tf.cast(tf.less(index, high), "float32"));
}

/**
 * Mask logits of all positives.
 *
 * @param coef - `[B, K, A]` mask coefficients
 * @param proto - `[B, h, w, K]` prototypes
 * @param size - side lengths `[height, width]` of the network input in pixels
 */
export function positiveMasks({
  coef,
  proto,
  positives,
  size,
}: {
  coef: tf.Tensor3D;
  proto: tf.Tensor4D;
  positives: Positives;
  size: readonly [height: number, width: number];
}): PositiveMasks {
  const [batch, height, width, channels] = proto.shape;
  const count = positives.anchors.shape[1];
  const table = tf.transpose(coef, [0, 2, 1]) as tf.Tensor3D;
  const rows = tf.reshape(gatherRows(table, positives.anchors), [batch, count, channels]);
  const logits = tf.matMul(rows, tf.reshape(proto, [batch, height * width, channels]), false, true) as tf.Tensor3D;
  const scale = tf.tensor1d([width / size[1], height / size[0], width / size[1], height / size[0]]);
  const boxes = tf.reshape(tf.mul(positives.boxes, scale), [batch, count, 4]);
  const [x1, y1, x2, y2] = tf.split(boxes, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const columns = tf.reshape(interval(x1, x2, width), [batch, count, 1, width]);
  const lines = tf.reshape(interval(y1, y2, height), [batch, count, height, 1]);
  const crop = tf.reshape(tf.mul(lines, columns), [batch, count, height * width]) as tf.Tensor3D;
  // Area of the box itself, not of its cells: mean over h * w divided by the normalised area. Empty rows have area 0.
  const area = tf.maximum(tf.reshape(tf.mul(tf.sub(x2, x1), tf.sub(y2, y1)), [batch, count]), MIN_AREA) as tf.Tensor2D;
  return { logits, crop, area, positives, batch, count };
}

/** Mean over the weighted positives of each image, summed over images, divided by B; images without one contribute 0. */
function meanOverPositives({
  perPositive,
  weight,
  batch,
}: {
  /** `[B, P]` */
  perPositive: tf.Tensor;
  /** `[B, P]`; a row of weight 0 does not count. */
  weight: tf.Tensor;
  batch: number;
}): tf.Scalar {
  const sums = tf.sum(tf.mul(perPositive, weight), 1);
  const counts = tf.maximum(tf.sum(tf.cast(tf.greater(weight, 0), "float32"), 1), 1);
  return tf.div(tf.sum(tf.div(sums, counts)), batch) as tf.Scalar;
}

/** `[B, P]` value of each positive's ground truth, 0 for empty rows. */
function ofTruth(values: tf.Tensor2D, { positives, batch, count }: PositiveMasks): tf.Tensor2D {
  const table = tf.reshape(values, [batch, values.shape[1], 1]) as tf.Tensor3D;
  const rows = tf.reshape(gatherRows(table, positives.truths), [batch, count]);
  return tf.mul(rows, tf.reshape(positives.used, [batch, count])) as tf.Tensor2D;
}

/** `[B, P, h * w]` mask of each positive's ground truth. */
function masksOfTruth(masks: tf.Tensor4D, { positives, batch, count }: PositiveMasks): tf.Tensor3D {
  const [, truths, height, width] = masks.shape;
  const table = tf.reshape(masks, [batch, truths, height * width]) as tf.Tensor3D;
  return tf.reshape(gatherRows(table, positives.truths), [batch, count, height * width]) as tf.Tensor3D;
}

/**
 * Instance mask loss (YOLACT form): BCE of the mask logits with the ground-truth mask, cropped by the ground-truth box, summed
 * and divided by the area of the box in cells; mean over the positives of an image, mean over images.
 *
 * @param gtMasks - `[B, G, h, w]` 0/1 at prototype size; cell (i, j) samples input pixel (4i + 2, 4j + 2)
 * @param weights - `[B, G]` 1 where the ground truth has a mask, less where a teacher shares its weight; rows of weight 0 are left out of the mean
 */
export function maskLoss({
  masks,
  gtMasks,
  weights,
}: {
  masks: PositiveMasks;
  gtMasks: tf.Tensor4D;
  weights: tf.Tensor2D;
}): tf.Scalar {
  const target = masksOfTruth(gtMasks, masks);
  const weight = ofTruth(weights, masks);
  const perPositive = tf.div(tf.sum(tf.mul(bceWithLogits(masks.logits, target), masks.crop), 2), masks.area);
  return meanOverPositives({ perPositive, weight, batch: masks.batch });
}

/**
 * Mask distillation: (BCE(logit, t) in crop / area + Dice(sigmoid(logit), t) in crop) x predicted IoU of the teacher, mean over
 * the positives that have a teacher mask, mean over images. Dice = 1 - (2 sum(p t) + 1) / (sum p + sum t + 1).
 *
 * @param teacherMasks - `[B, G, h, w]` teacher probabilities sigma(z / T) at prototype size
 * @param teacherWeights - `[B, G]` predicted IoU of the teacher, 0 where it has no mask
 */
export function maskKd({
  masks,
  teacherMasks,
  teacherWeights,
}: {
  masks: PositiveMasks;
  teacherMasks: tf.Tensor4D;
  teacherWeights: tf.Tensor2D;
}): tf.Scalar {
  const target = masksOfTruth(teacherMasks, masks);
  const weight = ofTruth(teacherWeights, masks);
  const bce = tf.div(tf.sum(tf.mul(bceWithLogits(masks.logits, target), masks.crop), 2), masks.area);
  const inCrop = tf.mul(target, masks.crop);
  const probability = tf.mul(tf.sigmoid(masks.logits), masks.crop);
  const both = tf.sum(tf.mul(probability, inCrop), 2);
  const either = tf.add(tf.sum(probability, 2), tf.sum(inCrop, 2));
  const dice = tf.sub(1, tf.div(tf.add(tf.mul(both, 2), 1), tf.add(either, 1)));
  return meanOverPositives({ perPositive: tf.add(bce, dice), weight, batch: masks.batch });
}
