import { at, type InitContext, LayerNorm, Linear, Module, ModuleList } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { MultiheadAttention, maskBias } from "./attention.js";
import { inverseSigmoid, MlpHead } from "./box-head.js";
import type { GroundingDinoConfig } from "./config.js";
import { DeformableAttention } from "./deformable-attention.js";
import type { FusedFeatures } from "./encoder.js";
import { type ImageGeometry, sineEmbedding } from "./image-levels.js";
import type { GroundingDinoTrace } from "./trace.js";

/** Self attention of the queries, attention to the text, deformable attention to the image, feed-forward; every norm follows its residual. */
class DecoderLayer extends Module {
  self_attn: MultiheadAttention;
  self_attn_layer_norm: LayerNorm;
  encoder_attn_text: MultiheadAttention;
  encoder_attn_text_layer_norm: LayerNorm;
  encoder_attn: DeformableAttention;
  encoder_attn_layer_norm: LayerNorm;
  fc1: Linear;
  fc2: Linear;
  final_layer_norm: LayerNorm;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    const width = config.dModel;
    const heads = config.decoderAttentionHeads;
    const norm = () => new LayerNorm({ features: width, eps: config.layerNormEps });
    this.self_attn = new MultiheadAttention({ width, heads, init: at(init, "self_attn") });
    this.self_attn_layer_norm = norm();
    this.encoder_attn_text = new MultiheadAttention({ width, heads, init: at(init, "encoder_attn_text") });
    this.encoder_attn_text_layer_norm = norm();
    this.encoder_attn = new DeformableAttention({
      width,
      heads,
      points: config.decoderPoints,
      levels: config.numFeatureLevels,
      init: at(init, "encoder_attn"),
    });
    this.encoder_attn_layer_norm = norm();
    this.fc1 = new Linear({ inFeatures: width, outFeatures: config.decoderFfnDim, init: at(init, "fc1") });
    this.fc2 = new Linear({ inFeatures: config.decoderFfnDim, outFeatures: width, init: at(init, "fc2") });
    this.final_layer_norm = norm();
  }

  /** @param queries - [B, Q, d] @param positions - [B, Q, d] @param references - [B, Q, L, 4] @param textBias - [B, 1, 1, N] */
  forward(
    queries: tf.Tensor3D,
    {
      positions,
      references,
      encoded,
      textBias,
      geometry,
    }: {
      positions: tf.Tensor3D;
      references: tf.Tensor4D;
      encoded: FusedFeatures;
      textBias: tf.Tensor;
      geometry: ImageGeometry;
    },
    trace?: GroundingDinoTrace,
  ): tf.Tensor3D {
    const placed = tf.add(queries, positions) as tf.Tensor3D;
    const own = this.self_attn.forward(placed, placed, queries, null);
    trace?.("self_attention", own);
    let x = this.self_attn_layer_norm.forward(tf.add(queries, own) as tf.Tensor3D);
    const read = this.encoder_attn_text.forward(
      tf.add(x, positions) as tf.Tensor3D,
      encoded.text,
      encoded.text,
      textBias,
    );
    trace?.("text_attention", read);
    x = this.encoder_attn_text_layer_norm.forward(tf.add(x, read) as tf.Tensor3D);
    const seen = this.encoder_attn.forward({
      query: tf.add(x, positions),
      source: encoded.vision,
      mask: geometry.mask,
      references,
      levels: geometry.levels,
    });
    trace?.("image_attention", seen);
    x = this.encoder_attn_layer_norm.forward(tf.add(x, seen) as tf.Tensor3D);
    const hidden = this.fc2.forward(tf.relu(this.fc1.forward(x)));
    const y = this.final_layer_norm.forward(tf.add(x, hidden) as tf.Tensor3D);
    trace?.("layer", y);
    return y;
  }
}

/** What one decoder layer says. */
export type DecoderState = {
  /** Normalised states [B, Q, d]. */
  readonly hidden: tf.Tensor3D;
  /** Boxes before this layer, cxcywh in 0..1, detached: [B, Q, 4]. */
  readonly reference: tf.Tensor3D;
  /** Boxes handed to the next layer, detached: [B, Q, 4]. */
  readonly refined: tf.Tensor3D;
};

/** Decoder with iterative box refinement. */
export class GroundingDinoDecoder extends Module {
  readonly #config: GroundingDinoConfig;
  layer_norm: LayerNorm;
  layers: ModuleList<DecoderLayer>;
  reference_points_head: MlpHead;
  /** Box heads of the layers; the same modules as the model's `bbox_embed`. */
  bbox_embed: ModuleList<MlpHead>;

  constructor({
    config,
    boxHeads,
    init,
  }: {
    config: GroundingDinoConfig;
    boxHeads: ModuleList<MlpHead>;
    init: InitContext;
  }) {
    super();
    this.#config = config;
    const width = config.dModel;
    this.layer_norm = new LayerNorm({ features: width, eps: config.layerNormEps });
    this.layers = new ModuleList(
      Array.from(
        { length: config.decoderLayers },
        (_, i) => new DecoderLayer({ config, init: at(init, `layers.${i}`) }),
      ),
    );
    this.reference_points_head = new MlpHead({
      input: 2 * width,
      hidden: width,
      output: width,
      depth: 2,
      init: at(init, "reference_points_head"),
    });
    this.bbox_embed = boxHeads;
  }

  /** @param queries - [B, Q, d] @param references - cxcywh in 0..1, [B, Q, 4], detached @param textMask - [B, N], 1 = real */
  forward(
    {
      queries,
      references,
      encoded,
      textMask,
      geometry,
    }: {
      queries: tf.Tensor3D;
      references: tf.Tensor3D;
      encoded: FusedFeatures;
      textMask: tf.Tensor2D;
      geometry: ImageGeometry;
    },
    trace?: GroundingDinoTrace,
  ): DecoderState[] {
    const [batch, count] = queries.shape;
    const levels = geometry.levels.length;
    const ratios = geometry.validRatios.shape[0];
    const twice = tf.reshape(tf.tile(geometry.validRatios, [1, 1, 2]), [ratios, 1, levels, 4]);
    const textBias = maskBias(tf.reshape(textMask, [batch, 1, 1, textMask.shape[1]]));
    const states: DecoderState[] = [];
    let hidden = queries;
    let reference = references;
    for (let i = 0; i < this.layers.length; i++) {
      const perLevel = tf.mul(tf.reshape(reference, [batch, count, 1, 4]), twice) as tf.Tensor4D;
      const first = tf.reshape(tf.slice(perLevel, [0, 0, 0, 0], [batch, count, 1, 4]), [batch, count, 4]);
      // Rows before columns, then width and height.
      const ordered = tf.gather(first, tf.tensor1d([1, 0, 2, 3], "int32"), 2);
      const code = sineEmbedding(tf.expandDims(ordered, 3), this.#config.dModel / 2);
      const flat = tf.reshape(code, [batch, count, 2 * this.#config.dModel]);
      const positions = this.reference_points_head.forward(flat) as tf.Tensor3D;
      if (i === this.layers.length - 1) trace?.("decoder.query_pos_last", positions);
      hidden = this.layers
        .at(i)
        .forward(
          hidden,
          { positions, references: perLevel, encoded, textBias, geometry },
          trace && ((name, tensor) => trace(`decoder.${i}.${name}`, tensor)),
        );
      const delta = this.bbox_embed.at(i).forward(hidden);
      const moved = tf.sigmoid(tf.add(delta, inverseSigmoid(reference, this.#config.logitEps)));
      const refined = ops.stopGradient(moved) as tf.Tensor3D;
      states.push({ hidden: this.layer_norm.forward(hidden), reference, refined });
      reference = refined;
    }
    return states;
  }
}
