import * as tf from "@tensorflow/tfjs";

/** x * sigmoid(x), any shape. */
export function silu<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => tf.mul(x, tf.sigmoid(x)) as T);
}

/** GELU, erf form: x/2 * (1 + erf(x / sqrt 2)). */
export function gelu<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)) as T);
}

/** Layer normalisation over the last axis: (x - mean) / sqrt(var + eps) * scale + offset, biased variance. */
export function layerNorm<T extends tf.Tensor>({
  x,
  scale,
  offset,
  eps,
}: {
  x: T;
  scale: tf.Tensor;
  offset: tf.Tensor;
  eps: number;
}): T {
  return tf.tidy(() => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, eps))), scale), offset) as T;
  });
}

/**
 * Batch normalisation with the statistics of the batch: over all axes but the last.
 * @param x - [..., C]
 * @returns y like x; mean and biased variance [C], not differentiated
 */
export function batchNormTrain({
  x,
  scale,
  offset,
  eps,
}: {
  x: tf.Tensor;
  scale: tf.Tensor1D;
  offset: tf.Tensor1D;
  eps: number;
}): { y: tf.Tensor; mean: tf.Tensor1D; variance: tf.Tensor1D } {
  return tf.tidy(() => {
    const axes = x.shape.slice(0, -1).map((_, i) => i);
    const mean = tf.mean(x, axes) as tf.Tensor1D;
    const centred = tf.sub(x, mean);
    const variance = tf.mean(tf.square(centred), axes) as tf.Tensor1D;
    const y = tf.add(tf.mul(centred, tf.mul(tf.rsqrt(tf.add(variance, eps)), scale)), offset);
    return { y, mean, variance };
  });
}
