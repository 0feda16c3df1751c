import { at, type InitContext, Linear, Module } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { MapSize } from "./image-levels.js";
import { sampleLevels } from "./sample-levels.js";

/** Multi-scale deformable attention: every query looks at a few places of each level around its reference. */
export class DeformableAttention extends Module {
  readonly #heads: number;
  readonly #points: number;
  sampling_offsets: Linear;
  attention_weights: Linear;
  value_proj: Linear;
  output_proj: Linear;

  constructor({
    width,
    heads,
    points,
    levels,
    init,
  }: {
    width: number;
    heads: number;
    points: number;
    levels: number;
    init: InitContext;
  }) {
    super();
    this.#heads = heads;
    this.#points = points;
    const linear = (name: string, outFeatures: number) =>
      new Linear({ inFeatures: width, outFeatures, init: at(init, name) });
    this.sampling_offsets = linear("sampling_offsets", heads * levels * points * 2);
    this.attention_weights = linear("attention_weights", heads * levels * points);
    this.value_proj = linear("value_proj", width);
    this.output_proj = linear("output_proj", width);
  }

  /**
   * @param query - [B, Q, C], positions added
   * @param source - [B, S, C], the maps of all levels
   * @param mask - [B, S], 1 = real; padding contributes 0. null: no padding
   * @param references - [B or 1, Q, L, 2] points: place = reference + offset cells; or [.., 4] boxes: place = centre + offset / points * size / 2
   */
  forward({
    query,
    source,
    mask,
    references,
    levels,
  }: {
    query: tf.Tensor3D;
    source: tf.Tensor3D;
    mask: tf.Tensor2D | null;
    references: tf.Tensor4D;
    levels: readonly MapSize[];
  }): tf.Tensor3D {
    const [batch, queries] = query.shape;
    const heads = this.#heads;
    const samples = levels.length * this.#points;
    const projected = this.value_proj.forward(source) as tf.Tensor3D;
    const value = mask === null ? projected : (tf.mul(projected, tf.expandDims(mask, 2)) as tf.Tensor3D);
    const scores = tf.reshape(this.attention_weights.forward(query), [batch, queries, heads, samples]);
    const weights = tf.softmax(scores) as tf.Tensor4D;
    const offsets = tf.reshape(this.sampling_offsets.forward(query), [batch * queries, heads, samples, 2]);
    const [offsetX, offsetY] = tf
      .split(offsets, 2, 3)
      .map((part) => tf.reshape(part, [batch, queries, heads, samples])) as [tf.Tensor4D, tf.Tensor4D];
    const sizes = (of: (size: MapSize) => number) =>
      tf.tensor1d(levels.flatMap((size) => new Array<number>(this.#points).fill(of(size))));
    const [x, y] = [
      { axis: 0, offset: offsetX, size: sizes(({ width }) => width) },
      { axis: 1, offset: offsetY, size: sizes(({ height }) => height) },
    ].map(({ axis, offset, size }) => {
      const centre = tf.sub(tf.mul(this.#perSample(references, axis), size), 0.5);
      if (references.shape[3] === 2) return tf.add(centre, offset);
      const reach = tf.mul(this.#perSample(references, axis + 2), tf.mul(size, 0.5 / this.#points));
      return tf.add(centre, tf.mul(offset, reach));
    }) as [tf.Tensor4D, tf.Tensor4D];
    const mixed = sampleLevels({ value, levels, x, y, weights });
    return this.output_proj.forward(mixed) as tf.Tensor3D;
  }

  /** One coordinate of the references for every sample of any head: [B or 1, Q, 1, L P]. */
  #perSample(references: tf.Tensor4D, axis: number): tf.Tensor4D {
    const [batch, queries, levels] = references.shape;
    const one = tf.slice(references, [0, 0, 0, axis], [batch, queries, levels, 1]);
    const repeated = tf.tile(one, [1, 1, 1, this.#points]);
    return tf.reshape(repeated, [batch, queries, 1, levels * this.#points]);
  }
}
