import * as tf from "@tensorflow/tfjs";
import { generalizedIou } from "./box-overlap.js";
import { type Detections, type DetectionTargets, realLogits } from "./match-costs.js";
import { focalTerms, type SetLoss } from "./set-loss.js";

/**
 * One-to-many loss over all encoder tokens: focal over real text tokens, L1 and 1 - GIoU of the positives, each a sum divided by the number of positives.
 * A training aid; the network stays as it is.
 *
 * @param detections - logits [B, S, N], boxes [B, S, 4] of every encoder token
 * @param objects - [B, S, T], 1 where the token answers the object, see `denseTargets`
 * @param usable - [B, S], 0 for tokens without a proposal (padding, border); they count neither way
 * @param positives - divisor, a scalar tensor
 */
export function denseLoss(
  { logits, boxes }: Detections,
  targets: DetectionTargets,
  {
    objects,
    usable,
    positives,
  }: { readonly objects: tf.Tensor3D; readonly usable: tf.Tensor2D; readonly positives: tf.Scalar },
): SetLoss {
  const [batch, tokens, columns] = logits.shape;
  const open = tf.reshape(usable, [batch, tokens, 1]);
  const positive = tf.mul(tf.sum(objects, -1, true), open);
  const classes = tf.matMul(objects, targets.tokens);
  const text = tf.reshape(targets.textMask, [batch, 1, columns]);
  const focal = tf.mul(
    focalTerms(realLogits(logits, targets.textMask), classes),
    tf.matMul(open as tf.Tensor3D, text as tf.Tensor3D),
  );
  // Background tokens are compared with a unit box, so that no quotient is 0 / 0, and then left out.
  const unit = tf.mul(tf.sub(1, tf.sum(objects, -1, true)), tf.tensor3d([0.5, 0.5, 1, 1], [1, 1, 4]));
  const wanted = tf.add(tf.matMul(objects, targets.boxes), unit);
  const l1 = tf.mul(tf.sum(tf.abs(tf.sub(boxes, wanted)), -1, true), positive);
  const giou = tf.mul(tf.sub(1, generalizedIou(boxes, wanted)), positive);
  const mean = (x: tf.Tensor): tf.Scalar => tf.div(tf.sum(x), positives) as tf.Scalar;
  return { ce: mean(focal), bbox: mean(l1), giou: mean(giou) };
}
