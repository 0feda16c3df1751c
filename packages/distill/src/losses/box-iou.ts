import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/** Keeps quotients of empty boxes finite; far below any area or side of interest in pixels or stride units. */
const EPSILON = 1e-7;
const ASPECT = 4 / Math.PI ** 2;

interface Corners {
  readonly x1: tf.Tensor;
  readonly y1: tf.Tensor;
  readonly x2: tf.Tensor;
  readonly y2: tf.Tensor;
}

/** How the smaller and the larger of two values are taken. */
interface Pick {
  readonly low: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
  readonly high: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
}

/** For values alone: the gradient of a tie goes to the first operand. */
const PLAIN: Pick = { low: (a, b) => tf.minimum(a, b), high: (a, b) => tf.maximum(a, b) };

/** The same values, x / 2 + x / 2, with the gradient of a tie shared: a box that equals its target is not pulled anywhere. */
const SHARED: Pick = {
  low: (a, b) => tf.add(tf.mul(tf.minimum(a, b), 0.5), tf.mul(tf.minimum(b, a), 0.5)),
  high: (a, b) => tf.add(tf.mul(tf.maximum(a, b), 0.5), tf.mul(tf.maximum(b, a), 0.5)),
};

/** The four coordinates of boxes `[..., 4]`, each `[..., 1]`. */
function corners(boxes: tf.Tensor): Corners {
  const [x1, y1, x2, y2] = tf.split(boxes, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  return { x1, y1, x2, y2 };
}

function overlapOf(a: Corners, b: Corners, { low, high }: Pick): { iou: tf.Tensor; union: tf.Tensor } {
  const width = tf.relu(tf.sub(low(a.x2, b.x2), high(a.x1, b.x1)));
  const height = tf.relu(tf.sub(low(a.y2, b.y2), high(a.y1, b.y1)));
  const inter = tf.mul(width, height);
  const areaA = tf.mul(tf.sub(a.x2, a.x1), tf.sub(a.y2, a.y1));
  const areaB = tf.mul(tf.sub(b.x2, b.x1), tf.sub(b.y2, b.y1));
  const union = tf.add(tf.sub(tf.add(areaA, areaB), inter), EPSILON);
  return { iou: tf.div(inter, union), union };
}

function ciouOf(a: Corners, b: Corners, pick: Pick): tf.Tensor {
  const { iou } = overlapOf(a, b, pick);
  const hullWidth = tf.sub(pick.high(a.x2, b.x2), pick.low(a.x1, b.x1));
  const hullHeight = tf.sub(pick.high(a.y2, b.y2), pick.low(a.y1, b.y1));
  const diagonal = tf.add(tf.add(tf.square(hullWidth), tf.square(hullHeight)), EPSILON);
  const dx = tf.sub(tf.add(a.x1, a.x2), tf.add(b.x1, b.x2));
  const dy = tf.sub(tf.add(a.y1, a.y2), tf.add(b.y1, b.y2));
  const distance = tf.mul(tf.add(tf.square(dx), tf.square(dy)), 0.25);
  const angle = (c: Corners) => tf.atan(tf.div(tf.sub(c.x2, c.x1), tf.add(tf.sub(c.y2, c.y1), EPSILON)));
  const v = tf.mul(tf.square(tf.sub(angle(a), angle(b))), ASPECT);
  // alpha weighs the aspect term and is a constant for the gradient.
  const alpha = ops.stopGradient(tf.div(v, tf.add(tf.sub(v, iou), 1 + EPSILON)));
  return tf.sub(iou, tf.add(tf.div(distance, diagonal), tf.mul(v, alpha)));
}

/**
 * Complete IoU of paired boxes: IoU - d^2/c^2 - alpha v, v = 4/pi^2 (atan(wa/ha) - atan(wb/hb))^2, alpha = v / (v - IoU + 1)
 * without gradient (Zheng et al., "Distance-IoU loss", 2020).
 *
 * @param a - `[N, 4]` xyxy
 * @param b - `[N, 4]` xyxy, same unit
 * @returns `[N]`
 */
export function completeIou(a: tf.Tensor, b: tf.Tensor): tf.Tensor1D {
  return tf.reshape(ciouOf(corners(a), corners(b), SHARED), [a.shape[0]!]) as tf.Tensor1D;
}

/**
 * Generalised IoU of paired boxes: IoU - (hull - union) / hull (Rezatofighi et al., 2019).
 *
 * @param a - `[N, 4]` xyxy
 * @param b - `[N, 4]` xyxy, same unit
 * @returns `[N]`
 */
export function generalizedIou(a: tf.Tensor, b: tf.Tensor): tf.Tensor1D {
  const ca = corners(a);
  const cb = corners(b);
  const { iou, union } = overlapOf(ca, cb, SHARED);
  const width = tf.sub(SHARED.high(ca.x2, cb.x2), SHARED.low(ca.x1, cb.x1));
  const height = tf.sub(SHARED.high(ca.y2, cb.y2), SHARED.low(ca.y1, cb.y1));
  const hull = tf.add(tf.mul(width, height), EPSILON);
  return tf.reshape(tf.sub(iou, tf.div(tf.sub(hull, union), hull)), [a.shape[0]!]) as tf.Tensor1D;
}

/**
 * {@link completeIou} of every ground truth with every prediction. Not differentiable in the last places that matter to no one:
 * call it on detached tensors.
 *
 * @param truths - `[B, G, 4]` xyxy
 * @param predictions - `[B, A, 4]` xyxy
 * @returns `[B, G, A]`
 */
export function pairwiseCompleteIou(truths: tf.Tensor3D, predictions: tf.Tensor3D): tf.Tensor3D {
  const rows = corners(truths);
  const columns = corners(predictions);
  // [B, A, 1] -> [B, 1, A]: the same numbers, another shape.
  const turn = (x: tf.Tensor) => tf.reshape(x, [x.shape[0]!, 1, x.shape[1]!]);
  const turned = { x1: turn(columns.x1), y1: turn(columns.y1), x2: turn(columns.x2), y2: turn(columns.y2) };
  return ciouOf(rows, turned, PLAIN) as tf.Tensor3D;
}
