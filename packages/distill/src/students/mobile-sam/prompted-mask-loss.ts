import * as tf from "@tensorflow/tfjs";
import { bceWithLogits } from "../../losses/bce.js";

/**
 * Loss of masks that were prompted with their own ground-truth boxes: mean BCE over all cells + Dice, 1 - (2 sum(p t) + 1) / (sum p + sum t + 1),
 * mean over the objects that have a mask; 0 without any.
 *
 * @param logits - [B, G, h, w]
 * @param gtMasks - [B, G, h, w] 0/1, or a teacher's probabilities
 * @param weights - [B, G] 1 where the ground truth has a mask, or a teacher's predicted IoU; 0 leaves a row out
 */
export function promptedMaskLoss({
  logits,
  gtMasks,
  weights,
}: {
  logits: tf.Tensor4D;
  gtMasks: tf.Tensor4D;
  weights: tf.Tensor2D;
}): tf.Scalar {
  const bce = tf.mean(bceWithLogits(logits, gtMasks), [2, 3]);
  const probability = tf.sigmoid(logits);
  const both = tf.sum(tf.mul(probability, gtMasks), [2, 3]);
  const either = tf.add(tf.sum(probability, [2, 3]), tf.sum(gtMasks, [2, 3]));
  const dice = tf.sub(1, tf.div(tf.add(tf.mul(both, 2), 1), tf.add(either, 1)));
  const counted = tf.maximum(tf.sum(tf.cast(tf.greater(weights, 0), "float32")), 1);
  return tf.div(tf.sum(tf.mul(tf.add(bce, dice), weights)), counted) as tf.Scalar;
}
