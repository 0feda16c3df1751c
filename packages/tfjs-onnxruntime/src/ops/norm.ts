import * as tf from "@tensorflow/tfjs";
import { isNative, runKernel } from "./engine.js";

/**
 * Layer normalisation over the last axis: (x - mean) / sqrt(var + eps) * scale + offset, biased variance.
 * @param x - [..., C] @param scale - [C] @param offset - [C]
 */
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
  if (!isNative()) {
    return tf.tidy(() => {
      const centred = tf.sub(x, tf.mean(x, -1, true));
      const variance = tf.mean(tf.square(centred), -1, true);
      return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, eps))), scale), offset) as T;
    });
  }
  const op = tf.customGrad((a, b, c, save) => {
    const [input, gamma, beta] = [a as tf.Tensor, b as tf.Tensor, c as tf.Tensor];
    const [y, mean, inverse] = runKernel<tf.Tensor[]>(
      "SegLayerNorm",
      { x: input, scale: gamma, offset: beta },
      { eps },
    );
    (save as tf.GradSaveFunc)([input, gamma, mean!, inverse!]);
    // With g = dy scale: dx = r (g - mean(g) - xhat mean(g xhat))
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const [sx, sGamma, sMean, sInverse] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const axes = dy.shape.slice(0, -1).map((_, i) => i);
      const unit = tf.mul(tf.sub(sx, sMean), sInverse);
      const g = tf.mul(dy, sGamma);
      const inner = tf.sub(tf.sub(g, tf.mean(g, -1, true)), tf.mul(unit, tf.mean(tf.mul(g, unit), -1, true)));
      return [tf.mul(sInverse, inner), tf.sum(tf.mul(dy, unit), axes), tf.sum(dy, axes)];
    };
    return { value: y!, gradFunc: gradFunc as never };
  });
  return op(x, scale, offset) as T;
}

/**
 * Batch normalisation with the statistics of the batch, over all axes but the last.
 * @param x - [N, H, W, C] @param scale - [C] @param offset - [C]
 * @returns y like x; mean and biased variance [C], which are not differentiated
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
  if (!isNative() || x.rank !== 4) {
    return tf.tidy(() => {
      const axes = x.shape.slice(0, -1).map((_, i) => i);
      const mean = tf.mean(x, axes) as tf.Tensor1D;
      const centred = tf.sub(x, mean);
      const variance = tf.mean(tf.square(centred), axes) as tf.Tensor1D;
      const y = tf.add(tf.mul(centred, tf.mul(tf.rsqrt(tf.add(variance, eps)), scale)), offset);
      return { y, mean, variance };
    });
  }
  let statistics: tf.Tensor1D[] = [];
  const op = tf.customGrad((a, b, c, save) => {
    const [input, gamma, beta] = [a as tf.Tensor, b as tf.Tensor, c as tf.Tensor];
    const [y, mean, variance] = runKernel<tf.Tensor[]>(
      "SegBatchNormTrain",
      { x: input, scale: gamma, offset: beta },
      { eps },
    );
    statistics = [tf.keep(mean!) as tf.Tensor1D, tf.keep(variance!) as tf.Tensor1D];
    (save as tf.GradSaveFunc)([input, gamma, mean!, variance!]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const [sx, sGamma, sMean, sVariance] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      return runKernel(
        "SegBatchNormTrainGrad",
        { dy, x: sx, scale: sGamma, mean: sMean, variance: sVariance },
        { eps },
      );
    };
    return { value: y!, gradFunc: gradFunc as never };
  });
  const y = op(x, scale, offset);
  // Hand the kept statistics back to the scope of the caller.
  const [mean, variance] = tf.tidy(() => statistics.map((t) => t.clone() as tf.Tensor1D));
  for (const t of statistics) t.dispose();
  return { y, mean: mean!, variance: variance! };
}
