import * as tf from "@tensorflow/tfjs";

/** Float one-hot rows `[..., depth]` of an int32 index; unlike tf.oneHot also for depth 1 (one class, one ground truth). */
export function oneHot(index: tf.Tensor, depth: number): tf.Tensor {
  return tf.cast(tf.equal(tf.expandDims(index, -1), tf.range(0, depth, 1, "int32")), "float32");
}
