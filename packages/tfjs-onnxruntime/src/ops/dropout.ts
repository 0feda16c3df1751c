import * as tf from "@tensorflow/tfjs";
import { bernoulli } from "../random.js";

/**
 * Zeroes elements with probability `rate` and divides the others by 1 - rate. Unlike `tf.dropout` it is a function of its key, so
 * compiled steps draw anew with every key.
 * @param key - int32 [2], see `random`
 * @throws RangeError unless 0 <= rate < 1
 */
export function dropout<T extends tf.Tensor>({ x, rate, key }: { x: T; rate: number; key: tf.Tensor }): T {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`rate must be in [0, 1), got ${rate}.`);
  if (rate === 0) return x.clone();
  return tf.tidy(() => tf.mul(x, tf.mul(tf.cast(bernoulli(x.shape, key, 1 - rate), "float32"), 1 / (1 - rate))) as T);
}
