import { at, type InitContext, LayerNorm, Linear, Module, ModuleList } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { SamDecoderConfig } from "./config.js";
import { SamMlp, type SamTrace } from "./vision-encoder.js";

/**
 * Multi-head attention with an inner width of hidden / downsample. One side may have P times the batch of the other (P prompts per image):
 * the shared side is projected once, then either the queries of all prompts attend to one copy of the keys, or the projected queries are repeated.
 */
export class SamAttention extends Module {
  readonly #heads: number;
  readonly #inner: number;
  q_proj: Linear;
  k_proj: Linear;
  v_proj: Linear;
  out_proj: Linear;

  constructor({ config, downsample, init }: { config: SamDecoderConfig; downsample: number; init: InitContext }) {
    super();
    const width = config.hiddenSize;
    const inner = width / downsample;
    this.#heads = config.numAttentionHeads;
    this.#inner = inner;
    this.q_proj = new Linear({ inFeatures: width, outFeatures: inner, init: at(init, "q_proj") });
    this.k_proj = new Linear({ inFeatures: width, outFeatures: inner, init: at(init, "k_proj") });
    this.v_proj = new Linear({ inFeatures: width, outFeatures: inner, init: at(init, "v_proj") });
    this.out_proj = new Linear({ inFeatures: inner, outFeatures: width, init: at(init, "out_proj") });
  }

  /** @param query - [Bq, N, C] @param key - [Bk, M, C] @param value - [Bk, M, C] @returns [max(Bq, Bk), N, C] */
  forward(query: tf.Tensor3D, key: tf.Tensor3D, value: tf.Tensor3D): tf.Tensor3D {
    const [queryBatch, count, width] = query.shape;
    const keyBatch = key.shape[0];
    const batch = Math.max(queryBatch, keyBatch);
    let q = this.q_proj.forward(query) as tf.Tensor3D;
    if (queryBatch > keyBatch) q = tf.reshape(q, [keyBatch, (queryBatch / keyBatch) * count, this.#inner]);
    if (queryBatch < keyBatch) q = repeatBatch(q, keyBatch / queryBatch);
    const heads = this.#split(q);
    const scores = tf.matMul(
      tf.mul(heads, (this.#inner / this.#heads) ** -0.5),
      this.#split(this.k_proj.forward(key) as tf.Tensor3D),
      false,
      true,
    );
    const mixed = tf.matMul(tf.softmax(scores), this.#split(this.v_proj.forward(value) as tf.Tensor3D));
    const [groups, length, depth] = mixed.shape as [number, number, number];
    const joined = tf.transpose(tf.reshape(mixed, [groups / this.#heads, this.#heads, length, depth]), [0, 2, 1, 3]);
    const output = this.out_proj.forward(tf.reshape(joined, [batch * count, this.#inner]));
    return tf.reshape(output, [batch, count, width]);
  }

  /** [B, N, heads d] -> [B heads, N, d] */
  #split(x: tf.Tensor3D): tf.Tensor3D {
    const [batch, count, inner] = x.shape;
    const depth = inner / this.#heads;
    const parts = tf.transpose(tf.reshape(x, [batch, count, this.#heads, depth]), [0, 2, 1, 3]);
    return tf.reshape(parts, [batch * this.#heads, count, depth]);
  }
}

/** Every item `times` times in a row: [B, N, C] -> [B times, N, C]. */
export function repeatBatch(x: tf.Tensor3D, times: number): tf.Tensor3D {
  if (times === 1) return x;
  const [batch, count, width] = x.shape;
  return tf.reshape(tf.tile(tf.reshape(x, [batch, 1, count * width]), [1, times, 1]), [batch * times, count, width]);
}

/** Sum of a [B P, N, C] and b [B P | B, N, C], the smaller batch shared by the prompts of an image. */
function addShared(a: tf.Tensor3D, b: tf.Tensor3D): tf.Tensor3D {
  if (a.shape[0] === b.shape[0]) return tf.add(a, b);
  const [batch, count, width] = b.shape;
  const prompts = a.shape[0] / batch;
  const sum = tf.add(tf.reshape(a, [batch, prompts, count * width]), tf.reshape(b, [batch, 1, count * width]));
  return tf.reshape(sum, [batch * prompts, count, width]);
}

/** Token self attention, tokens to image, MLP, image to tokens; every norm follows its residual. */
export class SamTwoWayBlock extends Module {
  readonly #first: boolean;
  self_attn: SamAttention;
  layer_norm1: LayerNorm;
  cross_attn_token_to_image: SamAttention;
  layer_norm2: LayerNorm;
  mlp: SamMlp;
  layer_norm3: LayerNorm;
  layer_norm4: LayerNorm;
  cross_attn_image_to_token: SamAttention;

  constructor({ config, first, init }: { config: SamDecoderConfig; first: boolean; init: InitContext }) {
    super();
    this.#first = first;
    const norm = () => new LayerNorm({ features: config.hiddenSize, eps: config.layerNormEps });
    const cross = (name: string) =>
      new SamAttention({ config, downsample: config.attentionDownsampleRate, init: at(init, name) });
    this.self_attn = new SamAttention({ config, downsample: 1, init: at(init, "self_attn") });
    this.layer_norm1 = norm();
    this.cross_attn_token_to_image = cross("cross_attn_token_to_image");
    this.layer_norm2 = norm();
    this.mlp = new SamMlp({
      width: config.hiddenSize,
      hidden: config.mlpDim,
      act: config.hiddenAct,
      init: at(init, "mlp"),
    });
    this.layer_norm3 = norm();
    this.layer_norm4 = norm();
    this.cross_attn_image_to_token = cross("cross_attn_image_to_token");
  }

  /**
   * @param queries - tokens [B P, T, C]; `tokenPosition` is re-added to them wherever they act as query or key, never as value
   * @param keys - image [B or B P, hw, C], `imagePosition` [1, hw, C] likewise
   */
  forward(
    queries: tf.Tensor3D,
    keys: tf.Tensor3D,
    tokenPosition: tf.Tensor3D,
    imagePosition: tf.Tensor3D,
  ): { queries: tf.Tensor3D; keys: tf.Tensor3D } {
    let tokens: tf.Tensor3D;
    // The first block's tokens are their own position: neither addition nor residual.
    if (this.#first) tokens = this.self_attn.forward(queries, queries, queries);
    else {
      const query = tf.add(queries, tokenPosition) as tf.Tensor3D;
      tokens = tf.add(queries, this.self_attn.forward(query, query, queries));
    }
    tokens = this.layer_norm1.forward(tokens);
    const placed = tf.add(keys, imagePosition) as tf.Tensor3D;
    const seen = this.cross_attn_token_to_image.forward(tf.add(tokens, tokenPosition), placed, keys);
    tokens = this.layer_norm2.forward(tf.add(tokens, seen) as tf.Tensor3D);
    tokens = this.layer_norm3.forward(tf.add(tokens, this.mlp.forward(tokens)) as tf.Tensor3D);
    const told = this.cross_attn_image_to_token.forward(placed, tf.add(tokens, tokenPosition), tokens);
    return { queries: tokens, keys: this.layer_norm4.forward(addShared(told, keys)) };
  }
}

/** Two-way transformer between prompt tokens and image pixels. */
export class SamTwoWayTransformer extends Module {
  layers: ModuleList<SamTwoWayBlock>;
  final_attn_token_to_image: SamAttention;
  layer_norm_final_attn: LayerNorm;

  constructor({ config, init }: { config: SamDecoderConfig; init: InitContext }) {
    super();
    this.layers = new ModuleList(
      Array.from(
        { length: config.numHiddenLayers },
        (_, i) => new SamTwoWayBlock({ config, first: i === 0, init: at(init, `layers.${i}`) }),
      ),
    );
    this.final_attn_token_to_image = new SamAttention({
      config,
      downsample: config.attentionDownsampleRate,
      init: at(init, "final_attn_token_to_image"),
    });
    // PyTorch's default eps, also where the configuration says 1e-6 for the blocks.
    this.layer_norm_final_attn = new LayerNorm({ features: config.hiddenSize, eps: 1e-5 });
  }

  /** @param tokens - [B P, T, C] @param image - [B, hw, C] @returns queries [B P, T, C], keys [B P, hw, C] */
  forward(
    tokens: tf.Tensor3D,
    image: tf.Tensor3D,
    imagePosition: tf.Tensor3D,
    trace?: SamTrace,
  ): { queries: tf.Tensor3D; keys: tf.Tensor3D } {
    let state = { queries: tokens, keys: image };
    for (let i = 0; i < this.layers.length; i++) {
      state = this.layers.at(i).forward(state.queries, state.keys, tokens, imagePosition);
      trace?.(`decoder.layer.${i}.queries`, state.queries);
      trace?.(`decoder.layer.${i}.keys`, state.keys);
    }
    const query = tf.add(state.queries, tokens) as tf.Tensor3D;
    const key = tf.add(state.keys, imagePosition) as tf.Tensor3D;
    const seen = this.final_attn_token_to_image.forward(query, key, state.keys);
    const queries = this.layer_norm_final_attn.forward(tf.add(state.queries, seen) as tf.Tensor3D);
    trace?.("decoder.transformer.queries", queries);
    trace?.("decoder.transformer.keys", state.keys);
    return { queries, keys: state.keys };
  }
}
