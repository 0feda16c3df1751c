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

/**
 * The same values, invisible to differentiation: gradients do not flow through the result. Costs nothing (shares the data).
 */
export function stopGradient<T extends tf.Tensor>(x: T): T {
  const engine = tf.engine();
  engine.backend.incRef(x.dataId);
  return engine.makeTensorFromTensorInfo({ dataId: x.dataId, shape: x.shape, dtype: x.dtype }) as T;
}

/**
 * 1 where an element is among the k largest along the last axis (ties: lower index first), else 0. Not differentiable:
 * apply it to stopped gradients.
 * @param x - [..., A] float32
 * @returns [..., A] float32
 */
export function topkMask<T extends tf.Tensor>(x: T, k: number): T {
  return tf.tidy(() => {
    const { indices } = tf.topk(stopGradient(x), k, true);
    return tf.sum(tf.oneHot(tf.cast(indices, "int32"), x.shape[x.rank - 1]!), -2) as T;
  });
}
