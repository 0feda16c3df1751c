import * as tf from "@tensorflow/tfjs";
import { isNative, runKernel } from "./engine.js";

/**
 * Binary cross-entropy of logits, elementwise: softplus(x) - x t = max(x, 0) - x t + log(1 + exp(-|x|)).
 * Gradients: sigmoid(x) - t and -x.
 * @param logits - any shape, float32
 * @param targets - the same shape, in [0, 1]
 */
export function sigmoidCrossEntropy<T extends tf.Tensor>({ logits, targets }: { logits: T; targets: tf.Tensor }): T {
  tf.util.assertShapesMatch(logits.shape, targets.shape, "sigmoidCrossEntropy: ");
  if (!isNative()) return tf.tidy(() => tf.sub(tf.softplus(logits), tf.mul(logits, targets)) as T);
  const op = tf.customGrad((a, b, save) => {
    const [x, t] = [a as tf.Tensor, b as tf.Tensor];
    (save as tf.GradSaveFunc)([x, t]);
    return {
      value: runKernel<tf.Tensor>("SegSigmoidCrossEntropy", { x, t }),
      gradFunc: ((dy: tf.Tensor, [sx, st]: [tf.Tensor, tf.Tensor]) => [
        tf.mul(dy, tf.sub(tf.sigmoid(sx), st)),
        tf.neg(tf.mul(dy, sx)),
      ]) as never,
    };
  });
  return op(logits, targets) as T;
}

/**
 * Cross-entropy of class probabilities with the softmax of logits over the last axis: -sum t log softmax(x).
 * Gradients: dy (softmax(x) sum t - t) and -dy log softmax(x).
 * @param logits - [..., C] float32
 * @param targets - the same shape, probabilities (one-hot or soft)
 * @returns [...]
 */
export function softmaxCrossEntropy({ logits, targets }: { logits: tf.Tensor; targets: tf.Tensor }): tf.Tensor {
  tf.util.assertShapesMatch(logits.shape, targets.shape, "softmaxCrossEntropy: ");
  const op = tf.customGrad((a, b, save) => {
    const [x, t] = [a as tf.Tensor, b as tf.Tensor];
    const logProbabilities = tf.logSoftmax(x);
    (save as tf.GradSaveFunc)([logProbabilities, t]);
    return {
      value: tf.neg(tf.sum(tf.mul(t, logProbabilities), -1)),
      gradFunc: ((dy: tf.Tensor, [logs, st]: [tf.Tensor, tf.Tensor]) => {
        const wide = tf.expandDims(dy, -1);
        const slope = tf.sub(tf.mul(tf.exp(logs), tf.sum(st, -1, true)), st);
        return [tf.mul(wide, slope), tf.neg(tf.mul(wide, logs))];
      }) as never,
    };
  });
  return op(logits, targets);
}
