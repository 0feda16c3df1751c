import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { generalizedIou } from "./box-overlap.js";

/** Predictions of one head for a batch. */
export interface Detections {
  /** [B, Q, N] per text token; columns of padding may hold anything, -Infinity included. */
  readonly logits: tf.Tensor3D;
  /** [B, Q, 4] cxcywh in [0, 1]. */
  readonly boxes: tf.Tensor3D;
}

/** Objects of a batch as tensors; shapes as in `TargetArrays`. */
export interface DetectionTargets {
  /** [B, T, 4] */
  readonly boxes: tf.Tensor3D;
  /** [B, T] */
  readonly valid: tf.Tensor2D;
  /** [B, T, N] */
  readonly tokens: tf.Tensor3D;
  /** [B, N], 1 for tokens that are no padding. */
  readonly textMask: tf.Tensor2D;
}

const ALPHA = 0.25;
const EPSILON = 1e-8;

/** Logits with 0 in the columns of padding, where a model may say -Infinity. */
export function realLogits(logits: tf.Tensor3D, textMask: tf.Tensor2D): tf.Tensor3D {
  const [batch, queries, columns] = logits.shape;
  const mask = tf.tile(tf.reshape(tf.greater(textMask, 0), [batch, 1, columns]), [1, queries, 1]);
  return tf.where(mask, logits, tf.zerosLike(logits)) as tf.Tensor3D;
}

/**
 * Cost of every query for every object, class + 5 L1 - 2 GIoU. With p the token probabilities and r the phrase's tokens, class = sum over tokens of (pos - neg) r / sum(r),
 * pos = .25 (1 - p)^2 (-ln(p + 1e-8)), neg = .75 p^2 (-ln(1 - p + 1e-8)). Carries no gradient.
 *
 * @returns [B, T, Q]; rows of unused objects hold whatever the arithmetic gives
 */
export function matchCosts({ logits, boxes }: Detections, targets: DetectionTargets): tf.Tensor3D {
  return tf.tidy(() => {
    const [batch, queries] = logits.shape;
    const rows = targets.boxes.shape[1];
    const p = tf.sigmoid(ops.stopGradient(realLogits(logits, targets.textMask)));
    const q = tf.sub(1, p);
    const pos = tf.mul(tf.mul(tf.square(q), ALPHA), tf.neg(tf.log(tf.add(p, EPSILON))));
    const neg = tf.mul(tf.mul(tf.square(p), 1 - ALPHA), tf.neg(tf.log(tf.add(q, EPSILON))));
    const share = tf.div(targets.tokens, tf.maximum(tf.sum(targets.tokens, -1, true), 1)) as tf.Tensor3D;
    const cls = tf.matMul(share, tf.sub(pos, neg) as tf.Tensor3D, false, true);
    const predicted = tf.reshape(ops.stopGradient(boxes), [batch, 1, queries, 4]);
    const wanted = tf.reshape(targets.boxes, [batch, rows, 1, 4]);
    const l1 = tf.sum(tf.abs(tf.sub(predicted, wanted)), -1);
    const giou = tf.squeeze(generalizedIou(predicted, wanted), [-1]);
    return tf.sub(tf.add(cls, tf.mul(l1, 5)), tf.mul(giou, 2)) as tf.Tensor3D;
  });
}
