import { ops } from "@seg/tfjs-onnxruntime";
import type * as tf from "@tensorflow/tfjs";

/** GELU in its erf form, x/2 (1 + erf(x / sqrt 2)). @param x - any shape, float32 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return ops.gelu(x);
}

/** SiLU, x sigmoid(x). @param x - any shape, float32 */
export function silu<T extends tf.Tensor>(x: T): T {
  return ops.silu(x);
}
