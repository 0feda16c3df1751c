import { ops } from "@seg/tfjs-onnxruntime";
import type * as tf from "@tensorflow/tfjs";

/** Elementwise binary cross-entropy with logits, softplus(x) - x t = max(x, 0) - x t + log(1 + exp(-|x|)); t may be soft. */
export function bceWithLogits(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  return ops.sigmoidCrossEntropy({ logits, targets });
}
