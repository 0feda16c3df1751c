import * as tf from "@tensorflow/tfjs";
import { isNative, runKernel } from "./engine.js";

/** The same values, invisible to differentiation: gradients do not flow through the result. Shares the data, costs nothing. */
export function stopGradient<T extends tf.Tensor>(x: T): T {
  const engine = tf.engine();
  engine.backend.incRef(x.dataId);
  return engine.makeTensorFromTensorInfo({ dataId: x.dataId, shape: x.shape, dtype: x.dtype }) as T;
}

/**
 * 1 where an element is among the k largest along the last axis (ties: lower index first), else 0. Not differentiable.
 * @param x - [..., A] float32 @returns [..., A] float32
 */
export function topkMask<T extends tf.Tensor>(x: T, k: number): T {
  return tf.tidy(() => {
    const input = stopGradient(x);
    if (isNative()) return runKernel<T>("SegTopkMask", { x: input }, { k });
    const { indices } = tf.topk(input, k, true);
    return tf.sum(tf.oneHot(tf.cast(indices, "int32"), x.shape[x.rank - 1]!), -2) as T;
  });
}
