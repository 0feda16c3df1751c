import * as tf from "@tensorflow/tfjs";
import { isNative, runKernel } from "./engine.js";

/** x * sigmoid(x), any shape, float32. */
export function silu<T extends tf.Tensor>(x: T): T {
  if (!isNative()) return tf.tidy(() => tf.mul(x, tf.sigmoid(x)) as T);
  const op = tf.customGrad((input, save) => {
    const value = input as tf.Tensor;
    const y = runKernel<tf.Tensor>("SegSilu", { x: value });
    (save as tf.GradSaveFunc)([value, y]);
    return {
      value: y,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) =>
        runKernel<tf.Tensor>("SegSiluGrad", { dy, x: saved[0]!, y: saved[1]! }),
    };
  });
  return op(x) as T;
}
