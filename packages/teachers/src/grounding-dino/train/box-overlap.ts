import * as tf from "@tensorflow/tfjs";

/** Corners of cxcywh boxes [..., 4], each [..., 1]. */
function corners(boxes: tf.Tensor): { x1: tf.Tensor; y1: tf.Tensor; x2: tf.Tensor; y2: tf.Tensor } {
  const [cx, cy, w, h] = tf.split(boxes, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const [halfW, halfH] = [tf.mul(w, 0.5), tf.mul(h, 0.5)];
  return { x1: tf.sub(cx, halfW), y1: tf.sub(cy, halfH), x2: tf.add(cx, halfW), y2: tf.add(cy, halfH) };
}

/**
 * Generalised IoU of cxcywh boxes, IoU - (hull - union) / hull (Rezatofighi et al., 2019). Shapes broadcast: [B, T, 4] with [B, T, 4] gives
 * [B, T, 1]; [B, Q, 1, 4] with [B, 1, T, 4] gives [B, Q, T, 1]. At least one box of each pair must have an area.
 */
export function generalizedIou(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const [p, q] = [corners(a), corners(b)];
  const width = tf.relu(tf.sub(tf.minimum(p.x2, q.x2), tf.maximum(p.x1, q.x1)));
  const height = tf.relu(tf.sub(tf.minimum(p.y2, q.y2), tf.maximum(p.y1, q.y1)));
  const inter = tf.mul(width, height);
  const area = (c: typeof p) => tf.mul(tf.sub(c.x2, c.x1), tf.sub(c.y2, c.y1));
  const union = tf.sub(tf.add(area(p), area(q)), inter);
  const hullWidth = tf.sub(tf.maximum(p.x2, q.x2), tf.minimum(p.x1, q.x1));
  const hullHeight = tf.sub(tf.maximum(p.y2, q.y2), tf.minimum(p.y1, q.y1));
  const hull = tf.mul(hullWidth, hullHeight);
  return tf.sub(tf.div(inter, union), tf.div(tf.sub(hull, union), hull));
}
