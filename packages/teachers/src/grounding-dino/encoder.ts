import { at, type InitContext, LayerNorm, Linear, Module, ModuleList, Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { joinHeads, MultiheadAttention, maskBias, splitHeads } from "./attention.js";
import type { GroundingDinoConfig } from "./config.js";
import { DeformableAttention } from "./deformable-attention.js";
import type { ImageGeometry } from "./image-levels.js";
import type { GroundingDinoTrace } from "./trace.js";

/** Image and text features of one point of the encoder. */
export interface FusedFeatures {
  /** [B, S, d] */
  readonly vision: tf.Tensor3D;
  /** [B, N, d] */
  readonly text: tf.Tensor3D;
}

/**
 * Attention in both directions from one matrix of scores S = v t^T / sqrt(head width): the image attends to the text with softmax(S), the text
 * to the image with softmax(S^T).
 */
export class BiAttention extends Module {
  readonly #heads: number;
  vision_proj: Linear;
  text_proj: Linear;
  values_vision_proj: Linear;
  values_text_proj: Linear;
  out_vision_proj: Linear;
  out_text_proj: Linear;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    const width = config.dModel;
    const inner = config.encoderFfnDim / 2;
    this.#heads = config.encoderAttentionHeads / 2;
    const into = (name: string) => new Linear({ inFeatures: width, outFeatures: inner, init: at(init, name) });
    const out = (name: string) => new Linear({ inFeatures: inner, outFeatures: width, init: at(init, name) });
    this.vision_proj = into("vision_proj");
    this.text_proj = into("text_proj");
    this.values_vision_proj = into("values_vision_proj");
    this.values_text_proj = into("values_text_proj");
    this.out_vision_proj = out("out_vision_proj");
    this.out_text_proj = out("out_text_proj");
  }

  /** @param visionBias - [B, 1, 1, S] or null @param textBias - [B, 1, 1, N] */
  forward(
    { vision, text }: FusedFeatures,
    { visionBias, textBias }: { visionBias: tf.Tensor | null; textBias: tf.Tensor },
  ): FusedFeatures {
    const heads = (x: tf.Tensor) => splitHeads(x as tf.Tensor3D, this.#heads);
    const query = heads(this.vision_proj.forward(vision));
    const key = heads(this.text_proj.forward(text));
    const scores = tf.matMul(tf.mul(query, query.shape[3] ** -0.5), key, false, true);
    const toText = tf.softmax(tf.add(scores, textBias));
    const transposed = tf.transpose(scores, [0, 1, 3, 2]);
    const toVision = tf.softmax(visionBias === null ? transposed : tf.add(transposed, visionBias));
    const seenText = tf.matMul(toText, heads(this.values_text_proj.forward(text))) as tf.Tensor4D;
    const seenVision = tf.matMul(toVision, heads(this.values_vision_proj.forward(vision))) as tf.Tensor4D;
    return {
      vision: this.out_vision_proj.forward(joinHeads(seenText)) as tf.Tensor3D,
      text: this.out_text_proj.forward(joinHeads(seenVision)) as tf.Tensor3D,
    };
  }
}

/** Both features are replaced by their norms, to which the gained attention is added. */
export class FusionLayer extends Module {
  vision_param: Parameter;
  text_param: Parameter;
  layer_norm_vision: LayerNorm;
  layer_norm_text: LayerNorm;
  attn: BiAttention;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    const width = config.dModel;
    const gain = () => new Parameter({ data: new Float32Array(width).fill(1e-4), shape: [width] });
    const norm = () => new LayerNorm({ features: width, eps: config.layerNormEps });
    this.vision_param = gain();
    this.text_param = gain();
    this.layer_norm_vision = norm();
    this.layer_norm_text = norm();
    this.attn = new BiAttention({ config, init: at(init, "attn") });
  }

  forward(
    { vision, text }: FusedFeatures,
    biases: { visionBias: tf.Tensor | null; textBias: tf.Tensor },
  ): FusedFeatures {
    const normed = { vision: this.layer_norm_vision.forward(vision), text: this.layer_norm_text.forward(text) };
    const delta = this.attn.forward(normed, biases);
    return {
      vision: tf.add(normed.vision, tf.mul(this.vision_param.value(), delta.vision)) as tf.Tensor3D,
      text: tf.add(normed.text, tf.mul(this.text_param.value(), delta.text)) as tf.Tensor3D,
    };
  }
}

/** Self attention of the text inside its phrases, post-norm. */
export class TextEnhancerLayer extends Module {
  self_attn: MultiheadAttention;
  fc1: Linear;
  fc2: Linear;
  layer_norm_before: LayerNorm;
  layer_norm_after: LayerNorm;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    const width = config.dModel;
    const hidden = config.encoderFfnDim / 2;
    const norm = () => new LayerNorm({ features: width, eps: config.layerNormEps });
    this.self_attn = new MultiheadAttention({
      width,
      heads: config.encoderAttentionHeads / 2,
      init: at(init, "self_attn"),
    });
    this.fc1 = new Linear({ inFeatures: width, outFeatures: hidden, init: at(init, "fc1") });
    this.fc2 = new Linear({ inFeatures: hidden, outFeatures: width, init: at(init, "fc2") });
    this.layer_norm_before = norm();
    this.layer_norm_after = norm();
  }

  /** @param text - [B, N, d] @param positions - [B, N, d] @param blockBias - [B, 1, N, N] */
  forward(text: tf.Tensor3D, positions: tf.Tensor3D, blockBias: tf.Tensor): tf.Tensor3D {
    const query = tf.add(text, positions) as tf.Tensor3D;
    const attended = this.self_attn.forward(query, query, text, blockBias);
    const x = this.layer_norm_before.forward(tf.add(text, attended) as tf.Tensor3D);
    const hidden = this.fc2.forward(tf.relu(this.fc1.forward(x)));
    return this.layer_norm_after.forward(tf.add(hidden, x) as tf.Tensor3D);
  }
}

/** Deformable self attention of the image, post-norm. */
export class DeformableLayer extends Module {
  self_attn: DeformableAttention;
  self_attn_layer_norm: LayerNorm;
  fc1: Linear;
  fc2: Linear;
  final_layer_norm: LayerNorm;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    const width = config.dModel;
    const norm = () => new LayerNorm({ features: width, eps: config.layerNormEps });
    this.self_attn = new DeformableAttention({
      width,
      heads: config.encoderAttentionHeads,
      points: config.encoderPoints,
      levels: config.numFeatureLevels,
      init: at(init, "self_attn"),
    });
    this.self_attn_layer_norm = norm();
    this.fc1 = new Linear({ inFeatures: width, outFeatures: config.encoderFfnDim, init: at(init, "fc1") });
    this.fc2 = new Linear({ inFeatures: config.encoderFfnDim, outFeatures: width, init: at(init, "fc2") });
    this.final_layer_norm = norm();
  }

  /** @param vision - [B, S, d] @param positions - [B, S, d] */
  forward(vision: tf.Tensor3D, positions: tf.Tensor3D, geometry: ImageGeometry): tf.Tensor3D {
    const attended = this.self_attn.forward({
      query: tf.add(vision, positions),
      source: vision,
      mask: geometry.mask,
      references: geometry.references,
      levels: geometry.levels,
    });
    const x = this.self_attn_layer_norm.forward(tf.add(vision, attended) as tf.Tensor3D);
    const hidden = this.fc2.forward(tf.relu(this.fc1.forward(x)));
    return this.final_layer_norm.forward(tf.add(x, hidden) as tf.Tensor3D);
  }
}

class EncoderLayer extends Module {
  text_enhancer_layer: TextEnhancerLayer;
  fusion_layer: FusionLayer;
  deformable_layer: DeformableLayer;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    this.text_enhancer_layer = new TextEnhancerLayer({ config, init: at(init, "text_enhancer_layer") });
    this.fusion_layer = new FusionLayer({ config, init: at(init, "fusion_layer") });
    this.deformable_layer = new DeformableLayer({ config, init: at(init, "deformable_layer") });
  }
}

/** Feature enhancer: fusion, text enhancer and deformable attention in every layer. */
export class GroundingDinoEncoder extends Module {
  layers: ModuleList<EncoderLayer>;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    this.layers = new ModuleList(
      Array.from(
        { length: config.encoderLayers },
        (_, i) => new EncoderLayer({ config, init: at(init, `layers.${i}`) }),
      ),
    );
  }

  /**
   * @param visionPositions - [B or 1, S, d] with level embedding
   * @param textPositions - [B, N, d] @param textMask - [B, N], 1 = real @param blockMask - [B, N, N], 1 = may attend
   */
  forward(
    features: FusedFeatures,
    {
      geometry,
      visionPositions,
      textPositions,
      textMask,
      blockMask,
    }: {
      geometry: ImageGeometry;
      visionPositions: tf.Tensor3D;
      textPositions: tf.Tensor3D;
      textMask: tf.Tensor2D;
      blockMask: tf.Tensor3D;
    },
    trace?: GroundingDinoTrace,
  ): FusedFeatures {
    const row = (mask: tf.Tensor2D) => maskBias(tf.reshape(mask, [mask.shape[0], 1, 1, mask.shape[1]]));
    const biases = { visionBias: geometry.mask === null ? null : row(geometry.mask), textBias: row(textMask) };
    const blockBias = maskBias(tf.expandDims(blockMask, 1));
    let { vision, text } = features;
    for (let i = 0; i < this.layers.length; i++) {
      const layer = this.layers.at(i);
      const fused = layer.fusion_layer.forward({ vision, text }, biases);
      trace?.(`encoder.${i}.fusion.vision`, fused.vision);
      trace?.(`encoder.${i}.fusion.text`, fused.text);
      text = layer.text_enhancer_layer.forward(fused.text, textPositions, blockBias);
      trace?.(`encoder.${i}.text_enhancer`, text);
      vision = layer.deformable_layer.forward(fused.vision, visionPositions, geometry);
      trace?.(`encoder.${i}.deformable`, vision);
    }
    trace?.("encoder.last_text", text);
    trace?.("encoder.last_vision", vision);
    return { vision, text };
  }
}
