import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { generalizedIou } from "./box-overlap.js";
import { type Detections, type DetectionTargets, realLogits } from "./match-costs.js";

/** Unweighted terms of one head, scalars. */
export interface SetLoss {
  readonly ce: tf.Scalar;
  readonly bbox: tf.Scalar;
  readonly giou: tf.Scalar;
}

/** Factors of the terms in the total. */
export const LOSS_WEIGHTS = { ce: 2, bbox: 5, giou: 2 } as const;

/**
 * Sigmoid focal loss, alpha .25, gamma 2, of every element: alpha_t (1 - p_t)^2 (-ln p_t) (Lin et al., 2017).
 * @param targets - zeros and ones
 */
export function focalTerms(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  const entropy = ops.sigmoidCrossEntropy({ logits, targets });
  const p = tf.sigmoid(logits);
  // 1 - p_t = p + t - 2 p t; alpha_t = .75 - .5 t
  const miss = tf.sub(tf.add(p, targets), tf.mul(tf.mul(p, targets), 2));
  return tf.mul(tf.mul(tf.sub(0.75, tf.mul(targets, 0.5)), entropy), tf.square(miss));
}

/**
 * Loss of one head under a matching: focal over all real tokens (delimiters are negatives; 1 on the tokens of the matched phrase), L1 and 1 - GIoU of
 * matched boxes, each a sum divided by `normalizer`.
 *
 * @param matches - [B, T, Q] of zeros and ones, see `matchMatrix`
 * @param normalizer - number of objects of the batch, at least 1; a scalar tensor
 */
export function setLoss(
  { logits, boxes }: Detections,
  targets: DetectionTargets,
  { matches, normalizer }: { readonly matches: tf.Tensor3D; readonly normalizer: tf.Scalar },
): SetLoss {
  const [batch, queries, columns] = logits.shape;
  const rows = targets.boxes.shape[1];
  const positive = tf.matMul(matches, targets.tokens, true, false);
  const mask = tf.tile(tf.reshape(targets.textMask, [batch, 1, columns]), [1, queries, 1]);
  const focal = tf.mul(focalTerms(realLogits(logits, targets.textMask), positive), mask);
  const chosen = tf.matMul(matches, boxes);
  const valid = tf.reshape(targets.valid, [batch, rows, 1]);
  const l1 = tf.mul(tf.sum(tf.abs(tf.sub(chosen, targets.boxes)), -1, true), valid);
  const giou = tf.mul(tf.sub(1, generalizedIou(chosen, targets.boxes)), valid);
  const mean = (x: tf.Tensor): tf.Scalar => tf.div(tf.sum(x), normalizer) as tf.Scalar;
  return { ce: mean(focal), bbox: mean(l1), giou: mean(giou) };
}

/** 2 ce + 5 bbox + 2 giou. */
export function weightedLoss({ ce, bbox, giou }: SetLoss): tf.Scalar {
  const { ce: a, bbox: b, giou: c } = LOSS_WEIGHTS;
  return tf.addN([tf.mul(ce, a), tf.mul(bbox, b), tf.mul(giou, c)]) as tf.Scalar;
}
