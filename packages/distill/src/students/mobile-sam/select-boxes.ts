import * as tf from "@tensorflow/tfjs";
import { gatherRows } from "../../losses/gather-rows.js";

/** Candidates per kept box: an object usually wakes about ten anchors, of which most are near the best one. */
const CANDIDATES_PER_BOX = 4;
/** Two boxes of one class that overlap by more are one object; the IoU of validation. */
const DUPLICATE_IOU = 0.7;
/** Pixels between the boxes of two classes, more than any input side: different classes never overlap. */
const CLASS_OFFSET = 7680;

/** IoU of every pair of rows, [B, N, N]. */
function selfIou(boxes: tf.Tensor3D): tf.Tensor3D {
  const [x1, y1, x2, y2] = tf.split(boxes, 4, 2) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const turn = (column: tf.Tensor) => tf.reshape(column, [column.shape[0]!, 1, column.shape[1]!]);
  const along = (low: tf.Tensor, high: tf.Tensor) =>
    tf.relu(tf.sub(tf.minimum(high, turn(high)), tf.maximum(low, turn(low))));
  const inter = tf.mul(along(x1, x2), along(y1, y2));
  const area = tf.mul(tf.sub(x2, x1), tf.sub(y2, y1));
  return tf.div(inter, tf.maximum(tf.sub(tf.add(area, turn(area)), inter), 1e-9)) as tf.Tensor3D;
}

/**
 * The K best boxes without duplicates, as tensor arithmetic of fixed size: of the 4K highest scores those stay that no higher one of their
 * class overlaps by more than 0.7 (Bolya et al., "YOLACT", 2019, section "Fast NMS": a box that falls may still suppress another).
 *
 * @param boxes - [B, A, 4] xyxy in pixels
 * @param scores - [B, A, C] class probabilities
 * @param count - K; capped at A
 * @returns boxes [B, K, 4] and scores [B, K, C], best first; rows beyond the last survivor have score 0
 */
export function selectBoxes({ boxes, scores, count }: { boxes: tf.Tensor3D; scores: tf.Tensor3D; count: number }): {
  boxes: tf.Tensor3D;
  scores: tf.Tensor3D;
} {
  const [batch, anchors, classes] = scores.shape;
  const candidates = Math.min(anchors, CANDIDATES_PER_BOX * count);
  const kept = Math.min(count, candidates);
  const best = tf.topk(tf.max(scores, 2), candidates, true);
  const index = tf.cast(best.indices, "int32") as tf.Tensor2D;
  const candidateBoxes = tf.reshape(gatherRows(boxes, index), [batch, candidates, 4]) as tf.Tensor3D;
  const candidateScores = tf.reshape(gatherRows(scores, index), [batch, candidates, classes]) as tf.Tensor3D;
  const offset = tf.mul(tf.cast(tf.argMax(candidateScores, 2), "float32"), CLASS_OFFSET);
  const apart = tf.add(candidateBoxes, tf.expandDims(offset, -1)) as tf.Tensor3D;
  // Row j, column i: whether i comes before j.
  const rank = tf.range(0, candidates, 1, "float32");
  const before = tf.cast(tf.less(tf.expandDims(rank, 0), tf.expandDims(rank, 1)), "float32");
  const overlap = tf.max(tf.mul(selfIou(apart), before), 2);
  const alive = tf.cast(tf.lessEqual(overlap, DUPLICATE_IOU), "float32");
  const final = tf.topk(tf.mul(best.values, alive), kept, true);
  const order = tf.cast(final.indices, "int32") as tf.Tensor2D;
  const survivors = tf.mul(candidateScores, tf.expandDims(alive, -1)) as tf.Tensor3D;
  return {
    boxes: tf.reshape(gatherRows(candidateBoxes, order), [batch, kept, 4]) as tf.Tensor3D,
    scores: tf.reshape(gatherRows(survivors, order), [batch, kept, classes]) as tf.Tensor3D,
  };
}
