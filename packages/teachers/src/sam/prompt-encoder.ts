import { at, Buffer, Embedding, type InitContext, LayerNorm, Module, ModuleList, normal } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { SamConfig } from "./config.js";
import { PatchConv2d } from "./patch-conv.js";
import { activation } from "./vision-encoder.js";

/**
 * Random Fourier features of positions: c in [0, 1]^2 -> [sin, cos](2 pi (2c - 1) G) with a fixed matrix G [2, F]
 * (Tancik et al., "Fourier features", 2020). G ~ N(0, 1), the scale of the original; Hugging Face's own initialisation is F times as large,
 * which gives hash-like coordinates when training from scratch. Published files bring their matrix.
 */
export class SamPositionalEmbedding extends Module {
  positional_embedding: Buffer;

  constructor({ features, init }: { features: number; init: InitContext }) {
    super();
    const shape = [2, features];
    this.positional_embedding = new Buffer({ data: normal(at(init, "positional_embedding"), 2 * features, 1), shape });
  }

  /** @param coordinates - [N, 2] (x, y) as fractions of the image @returns [N, 2F] */
  forward(coordinates: tf.Tensor2D): tf.Tensor2D {
    const centred = tf.sub(tf.mul(coordinates, 2), 1) as tf.Tensor2D;
    const angles = tf.mul(tf.matMul(centred, this.positional_embedding.value() as tf.Tensor2D), 2 * Math.PI);
    return tf.concat([tf.sin(angles), tf.cos(angles)], 1) as tf.Tensor2D;
  }
}

/** Mask logits [B, 4g, 4g, 1] -> dense prompt [B, g, g, C]. */
export class SamMaskEmbedding extends Module {
  readonly #act: SamConfig["prompt"]["hiddenAct"];
  conv1: PatchConv2d;
  conv2: PatchConv2d;
  conv3: PatchConv2d;
  layer_norm1: LayerNorm;
  layer_norm2: LayerNorm;

  constructor({ config: { prompt }, init }: { config: SamConfig; init: InitContext }) {
    super();
    this.#act = prompt.hiddenAct;
    const channels = prompt.maskInputChannels;
    const conv = (name: string, inChannels: number, outChannels: number, kernelSize: number) =>
      new PatchConv2d({ inChannels, outChannels, kernelSize, stride: kernelSize, init: at(init, name) });
    this.conv1 = conv("conv1", 1, channels / 4, 2);
    this.conv2 = conv("conv2", channels / 4, channels, 2);
    this.conv3 = conv("conv3", channels, prompt.hiddenSize, 1);
    this.layer_norm1 = new LayerNorm({ features: channels / 4, eps: prompt.layerNormEps });
    this.layer_norm2 = new LayerNorm({ features: channels, eps: prompt.layerNormEps });
  }

  forward(masks: tf.Tensor4D): tf.Tensor4D {
    const a = activation(this.#act, this.layer_norm1.forward(this.conv1.forward(masks))) as tf.Tensor4D;
    const b = activation(this.#act, this.layer_norm2.forward(this.conv2.forward(a))) as tf.Tensor4D;
    return this.conv3.forward(b);
  }
}

/** Prompts of a batch in pixels of the model image (after resize, before padding matters: content starts at the top left). */
export interface SamPrompts {
  /** [B, P, 4] xyxy. */
  readonly boxes?: tf.Tensor3D;
  /** [B, P, N, 2] (x, y). */
  readonly points?: tf.Tensor4D;
  /** [B, P, N]: 1 foreground, 0 background, -1 not a point, -10 padding. */
  readonly labels?: tf.Tensor3D;
  /** Mask logits [B, 4g, 4g, 1]. */
  readonly masks?: tf.Tensor4D;
}

/** Turns prompts into tokens and a dense map. */
export class SamPromptEncoder extends Module {
  readonly #imageSize: number;
  shared_embedding: SamPositionalEmbedding;
  mask_embed: SamMaskEmbedding;
  no_mask_embed: Embedding;
  point_embed: ModuleList<Embedding>;
  not_a_point_embed: Embedding;

  constructor({ config, shared, init }: { config: SamConfig; shared: SamPositionalEmbedding; init: InitContext }) {
    super();
    this.#imageSize = config.vision.imageSize;
    const features = config.prompt.hiddenSize;
    // Deviation .5 rather than the layer's 1: of the order of the sines and cosines they are added to.
    const embedding = (name: string) => {
      const result = new Embedding({ count: 1, features, init: at(init, name) });
      result.weight.assign(normal(at(init, `${name}.weight`), features, 0.5));
      return result;
    };
    this.shared_embedding = shared;
    this.mask_embed = new SamMaskEmbedding({ config, init: at(init, "mask_embed") });
    this.no_mask_embed = embedding("no_mask_embed");
    this.point_embed = new ModuleList(Array.from({ length: 4 }, (_, i) => embedding(`point_embed.${i}`)));
    this.not_a_point_embed = embedding("not_a_point_embed");
  }

  /** Tokens [B, P, N, C] of all points and boxes, points first; null without any. */
  sparse({ boxes, points, labels }: SamPrompts): tf.Tensor4D | null {
    const tokens: tf.Tensor4D[] = [];
    if (points && labels) tokens.push(this.#points(points, labels, boxes === undefined));
    if (boxes) tokens.push(this.#boxes(boxes));
    return tokens.length === 0 ? null : tokens.length === 1 ? tokens[0]! : (tf.concat(tokens, 2) as tf.Tensor4D);
  }

  /** Dense map [B, g, g, C] of mask prompts, or [1, 1, 1, C] without: it is added to every pixel of the image embedding. */
  dense(masks: tf.Tensor4D | undefined): tf.Tensor4D {
    if (masks) return this.mask_embed.forward(masks);
    const weight = this.no_mask_embed.weight.value();
    return tf.reshape(weight, [1, 1, 1, weight.size]) as tf.Tensor4D;
  }

  /** Coordinates address pixel corners; tokens sit half a pixel further, at the centre. */
  #encode(coordinates: tf.Tensor): tf.Tensor2D {
    const flat = tf.reshape<tf.Rank.R2>(coordinates, [coordinates.size / 2, 2]);
    return this.shared_embedding.forward(tf.div(tf.add(flat, 0.5), this.#imageSize));
  }

  #boxes(boxes: tf.Tensor3D): tf.Tensor4D {
    const [batch, prompts] = boxes.shape;
    const encoded = tf.reshape(this.#encode(boxes), [batch * prompts, 2, -1]);
    const corners = tf.concat([this.point_embed.at(2).weight.value(), this.point_embed.at(3).weight.value()], 0);
    return tf.reshape(tf.add(encoded, corners), [batch, prompts, 2, -1]) as tf.Tensor4D;
  }

  #points(given: tf.Tensor4D, givenLabels: tf.Tensor3D, pad: boolean): tf.Tensor4D {
    const [batch, prompts, count] = given.shape;
    // The network expects at least two sparse tokens: without a box one "not a point" is appended.
    const points = pad ? tf.concat([given, tf.zeros([batch, prompts, 1, 2])], 2) : given;
    const labels = tf.cast(givenLabels, "float32");
    const all = pad ? tf.concat([labels, tf.fill([batch, prompts, 1], -1)], 2) : labels;
    const total = pad ? count + 1 : count;
    const flat = tf.reshape(all, [batch * prompts * total, 1]);
    const is = (label: number) => tf.cast(tf.equal(flat, label), "float32");
    const notPoint = is(-1);
    const position = tf.mul(this.#encode(points), tf.sub(1, tf.add(notPoint, is(-10))));
    const sum = [
      tf.mul(notPoint, this.not_a_point_embed.weight.value()),
      tf.mul(is(0), this.point_embed.at(0).weight.value()),
      tf.mul(is(1), this.point_embed.at(1).weight.value()),
    ].reduce<tf.Tensor>((a, b) => tf.add(a, b), position);
    return tf.reshape(sum, [batch, prompts, total, -1]) as tf.Tensor4D;
  }
}
