import * as tf from "@tensorflow/tfjs";
import { isNative, runKernel } from "./engine.js";

/** GELU, erf form: x/2 * (1 + erf(x / sqrt 2)), any shape, float32. */
export function gelu<T extends tf.Tensor>(x: T): T {
  if (!isNative()) {
    return tf.tidy(() => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)) as T);
  }
  const op = tf.customGrad((input, save) => {
    const value = input as tf.Tensor;
    (save as tf.GradSaveFunc)([value]);
    return {
      value: runKernel<tf.Tensor>("SegGelu", { x: value }),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => runKernel<tf.Tensor>("SegGeluGrad", { dy, x: saved[0]! }),
    };
  });
  return op(x) as T;
}
