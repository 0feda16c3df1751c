import * as tf from "@tensorflow/tfjs";

/** Largest regression target is reg_max - 1 - 0.01, so that the upper neighbour bin exists. */
const TARGET_MARGIN = 0.01;

/**
 * Expected distances of a discrete distribution per side: softmax over bins, times 0..bins-1 (Li et al., "Generalized Focal Loss", 2020).
 *
 * @param logits - `[..., bins]`
 * @returns `[...]` in stride units
 */
export function distributionExpectation(logits: tf.Tensor): tf.Tensor {
  const bins = logits.shape.at(-1)!;
  const probabilities = tf.softmax(logits, -1);
  return tf.sum(tf.mul(probabilities, tf.range(0, bins, 1, "float32")), -1);
}

/**
 * Distribution focal loss: CE(floor t)(floor t + 1 - t) + CE(floor t + 1)(t - floor t), t clamped to [0, bins - 1.01].
 * The two weights are the hat function max(0, 1 - |bin - t|), which needs no gather.
 *
 * @param logits - `[..., bins]`
 * @param targets - `[...]` in stride units; no gradient flows to them
 * @returns `[...]`
 */
export function distributionFocalLoss(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  const bins = logits.shape.at(-1)!;
  const t = tf.expandDims(tf.clipByValue(targets, 0, bins - 1 - TARGET_MARGIN), -1);
  const hat = tf.relu(tf.sub(1, tf.abs(tf.sub(tf.range(0, bins, 1, "float32"), t))));
  return tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits, -1), hat), -1));
}
