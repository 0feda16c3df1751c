import * as tf from "@tensorflow/tfjs";

/** Operands of {@link attention}. */
export interface AttentionInput {
  /** [..., N, d] float32 */
  readonly query: tf.Tensor;
  /** [..., M, d] */
  readonly key: tf.Tensor;
  /** [..., M, e] */
  readonly value: tf.Tensor;
  /** Added to the scores [..., N, M], broadcast: position tables, masks of -Infinity or large negative numbers. @defaultValue none */
  readonly bias?: tf.Tensor;
  /** Factor on query times key. @defaultValue 1 / sqrt(d) */
  readonly scale?: number;
}

/**
 * Scaled dot-product attention: softmax(scale query keyᵀ + bias) value, softmax over the keys, leading axes batched. Its gradient keeps
 * the probabilities and nothing else of their size: with P the probabilities, dP = dy valueᵀ and dS = P (dP - sum(dP P)).
 *
 * @returns [..., N, e]
 * @example ops.attention({ query: tf.zeros([1, 2, 4]), key: tf.ones([1, 3, 4]), value: tf.ones([1, 3, 5]) }) // ones [1, 2, 5]
 */
export function attention({
  query,
  key,
  value,
  bias,
  scale = 1 / Math.sqrt(query.shape.at(-1)!),
}: AttentionInput): tf.Tensor {
  const op = tf.customGrad((...given) => {
    const save = given.at(-1) as unknown as tf.GradSaveFunc;
    const [q, k, v, b] = given.slice(0, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor?];
    // The factor goes to the smaller operand: the scores are the largest map here.
    const products = tf.matMul(tf.mul(q, scale), k, false, true);
    const probabilities = tf.softmax(b === undefined ? products : tf.add(products, b));
    save([q, k, v, probabilities]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const [sq, sk, sv, p] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const dp = tf.matMul(dy, sv, false, true);
      const ds = tf.mul(p, tf.sub(dp, tf.sum(tf.mul(dp, p), -1, true)));
      const grads = [
        tf.mul(tf.matMul(ds, sk), scale),
        tf.mul(tf.matMul(ds, sq, true, false), scale),
        tf.matMul(p, dy, true, false),
      ];
      return b === undefined ? grads : [...grads, sumTo(ds, b.shape)];
    };
    return { value: tf.matMul(probabilities, v), gradFunc: gradFunc as never };
  });
  return tf.tidy(() => op(...(bias === undefined ? [query, key, value] : [query, key, value, bias])));
}

/** The sum over the axes along which `shape` was broadcast. */
function sumTo(x: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const padded = [...new Array<number>(x.rank - shape.length).fill(1), ...shape];
  const axes = padded.flatMap((size, axis) => (size === 1 && x.shape[axis] !== 1 ? [axis] : []));
  return tf.reshape(axes.length === 0 ? x : tf.sum(x, axes), [...shape]);
}
