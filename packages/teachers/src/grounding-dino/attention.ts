import { at, type InitContext, Linear, Module } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";

/** Added to scores that must not count: exp of it is 0 in float32 whatever the other scores are. */
export const MASKED = -1e9;

/** [B, N, heads d] -> [B, heads, N, d] */
export function splitHeads(x: tf.Tensor3D, heads: number): tf.Tensor4D {
  const [batch, count, width] = x.shape;
  return tf.transpose(tf.reshape(x, [batch, count, heads, width / heads]), [0, 2, 1, 3]) as tf.Tensor4D;
}

/** [B, heads, N, d] -> [B, N, heads d] */
export function joinHeads(x: tf.Tensor4D): tf.Tensor3D {
  const [batch, heads, count, depth] = x.shape;
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, count, heads * depth]);
}

/**
 * Scaled dot-product attention: softmax(q k^T / sqrt(d) + bias) v.
 * @param query - [B, N, C] @param key - [B, M, C] @param value - [B, M, C]
 * @param bias - broadcastable to [B, heads, N, M], or null @returns [B, N, C]
 */
export function attend({
  query,
  key,
  value,
  heads,
  bias,
}: {
  query: tf.Tensor3D;
  key: tf.Tensor3D;
  value: tf.Tensor3D;
  heads: number;
  bias: tf.Tensor | null;
}): tf.Tensor3D {
  const scale = (query.shape[2] / heads) ** -0.5;
  const scores = tf.matMul(tf.mul(splitHeads(query, heads), scale), splitHeads(key, heads), false, true);
  const weights = tf.softmax(bias === null ? scores : tf.add(scores, bias));
  return joinHeads(tf.matMul(weights, splitHeads(value, heads)) as tf.Tensor4D);
}

/** 0 where a mask is 1 and {@link MASKED} where it is 0: what attention adds to its scores. */
export function maskBias(mask: tf.Tensor): tf.Tensor {
  return tf.mul(tf.sub(mask, 1), -MASKED);
}

/** Multi-head attention with separate projections (`query`, `key`, `value`, `out_proj`). */
export class MultiheadAttention extends Module {
  readonly #heads: number;
  query: Linear;
  key: Linear;
  value: Linear;
  out_proj: Linear;

  constructor({ width, heads, init }: { width: number; heads: number; init: InitContext }) {
    super();
    this.#heads = heads;
    const linear = (name: string) => new Linear({ inFeatures: width, outFeatures: width, init: at(init, name) });
    this.query = linear("query");
    this.key = linear("key");
    this.value = linear("value");
    this.out_proj = linear("out_proj");
  }

  /** @param bias - broadcastable to [B, heads, N, M], or null @returns [B, N, C] */
  forward(query: tf.Tensor3D, key: tf.Tensor3D, value: tf.Tensor3D, bias: tf.Tensor | null): tf.Tensor3D {
    const mixed = attend({
      query: this.query.forward(query) as tf.Tensor3D,
      key: this.key.forward(key) as tf.Tensor3D,
      value: this.value.forward(value) as tf.Tensor3D,
      heads: this.#heads,
      bias,
    });
    return this.out_proj.forward(mixed) as tf.Tensor3D;
  }
}
