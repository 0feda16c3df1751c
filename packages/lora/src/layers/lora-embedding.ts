import { at, type Embedding, normal, Parameter, uniform } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { LoraLayer, type LoraLayerOptions, type LoraParts } from "./lora-layer.js";

/**
 * {@link Embedding} with adapters: lora_embedding_A [r, count], lora_embedding_B [features, r]; rows get (B A)^T s. A begins as zeros, B as N(0, 1).
 * Dropout does not apply to ids.
 */
export class LoraEmbedding extends LoraLayer<Embedding> {
  protected readonly isTransposed = true;

  protected createParts(options: LoraLayerOptions): LoraParts {
    const { rank, scaling, useDora = false, initLoraWeights = true, init } = options;
    const [count = 0, features = 0] = this.base_layer.weight.shape;
    const start =
      initLoraWeights === false
        ? uniform(at(init, "lora_embedding_A"), rank * count, 1 / Math.sqrt(rank))
        : new Float32Array(rank * count);
    const a = new Parameter({ data: start, shape: [rank, count] });
    const b = new Parameter({
      data: normal(at(init, "lora_embedding_B"), features * rank, 1),
      shape: [features, rank],
    });
    const common = { a, b, bias: null, rank, scaling, dropout: 0, random: null, path: init.path };
    const magnitude = useDora ? this.initialMagnitude(common, (rows) => [rows]) : null;
    const children: LoraParts["children"] = [
      ["lora_embedding_A", a],
      ["lora_embedding_B", b],
      ...(magnitude ? ([["lora_magnitude_vector", magnitude]] as const) : []),
    ];
    return { ...common, magnitude, children };
  }

  /** @param ids - [...] int32 row numbers @returns [..., features] */
  forward(ids: tf.Tensor): tf.Tensor {
    const y = this.base_layer.forward(ids);
    if (!this.isActive) return y;
    const { a, b, magnitude, scaling } = this.parts;
    const rows = tf.gather(tf.transpose(a.value() as tf.Tensor2D), tf.reshape(ids, [ids.size]) as tf.Tensor1D);
    const low = tf.mul(tf.reshape(tf.matMul(rows, b.value() as tf.Tensor2D, false, true), y.shape), scaling);
    if (!magnitude) return tf.add(y, low);
    const ratio = this.magnitudeRatio(magnitude);
    return tf.add(y, tf.add(tf.mul(y, tf.sub(ratio, 1)), tf.mul(low, ratio)));
  }
}
