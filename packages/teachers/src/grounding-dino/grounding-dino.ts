import {
  at,
  Conv2d,
  Embedding,
  GroupNorm,
  type InitContext,
  LayerNorm,
  Linear,
  Module,
  ModuleList,
  normal,
  Parameter,
} from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { maskBias } from "./attention.js";
import { Bert } from "./bert.js";
import { inverseSigmoid, MlpHead } from "./box-head.js";
import { backboneChannels, type GroundingDinoConfig } from "./config.js";
import { type DecoderState, GroundingDinoDecoder } from "./decoder.js";
import { type FusedFeatures, GroundingDinoEncoder } from "./encoder.js";
import { type ImageGeometry, imageGeometry, mapSizes, sineEmbedding } from "./image-levels.js";
import { SwinBackbone } from "./swin.js";
import type { TextTensors } from "./text-batch.js";
import type { GroundingDinoTrace } from "./trace.js";

/** Images and captions of one batch. */
export interface GroundingDinoInput {
  /** [B, H, W, 3], normalised with the ImageNet statistics, zero padded right and bottom. */
  readonly pixels: tf.Tensor4D;
  /** [B, H, W] float32, 1 = real pixel. Leave it out when no image is padded: cheaper and the same. */
  readonly pixelMask?: tf.Tensor3D;
  readonly text: TextTensors;
  /** int32 [B, N]. @defaultValue all 0, as the captions of this package need */
  readonly tokenTypeIds?: tf.Tensor2D;
}

/** Result of the feature enhancer, all the decoder needs; worth caching where only the decoder is trained. */
export type EncodedImage = FusedFeatures & {
  /** Text features before the encoder, [B, N, d]. */
  readonly projectedText: tf.Tensor3D;
};

/** First stage: one box per cell. */
export type GroundingDinoProposals = {
  /** o . text for the enhanced text: [B, S, N], not masked. */
  readonly tokenLogits: tf.Tensor3D;
  /** Inverse sigmoid of cxcywh, +Infinity where the cell is not usable: [B, S, 4]. Differentiable. */
  readonly coordLogits: tf.Tensor3D;
  /** [B or 1, S, 1], 1 where the cell is usable. */
  readonly usable: tf.Tensor3D;
  /** Cells of the queries by descending score, ties by index: int32 [B, Q]. */
  readonly topkIndices: tf.Tensor2D;
  /** Largest logit over real tokens of the chosen cells, [B, Q]. */
  readonly topkScores: tf.Tensor2D;
  /** Boxes of the chosen cells, cxcywh in 0..1, **not** detached: [B, Q, 4]. */
  readonly boxes: tf.Tensor3D;
  /** Token logits of the chosen cells, [B, Q, N], not masked. */
  readonly topkTokenLogits: tf.Tensor3D;
};

/** One decoder layer's detections. */
export type GroundingDinoLayerOutput = DecoderState & {
  /** hidden . text: [B, Q, N], not masked: columns of padding mean nothing. */
  readonly tokenLogits: tf.Tensor3D;
  /** cxcywh relative to the real image, [B, Q, 4]. */
  readonly boxes: tf.Tensor3D;
};

/** Boxes and scores of every decoder layer, and the proposals that they started from. */
export type GroundingDinoOutput = {
  /** First to last layer; the last is the result, the others take part in the loss. */
  readonly layers: readonly GroundingDinoLayerOutput[];
  readonly proposals: GroundingDinoProposals;
  readonly encoded: EncodedImage;
};

class ConvEncoder extends Module {
  model: SwinBackbone;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    this.model = new SwinBackbone({ config: config.backbone, init: at(init, "model") });
  }
}

class Backbone extends Module {
  conv_encoder: ConvEncoder;

  constructor({ config, init }: { config: GroundingDinoConfig; init: InitContext }) {
    super();
    this.conv_encoder = new ConvEncoder({ config, init: at(init, "conv_encoder") });
  }
}

/** Convolution and group norm ("0", "1") of every level: 1x1 for the backbone's maps, 3x3 of stride 2 for the levels behind them. */
function inputProjections(config: GroundingDinoConfig, init: InitContext): ModuleList<ModuleList> {
  const channels = backboneChannels(config.backbone);
  const width = config.dModel;
  return new ModuleList(
    Array.from({ length: config.numFeatureLevels }, (_, level) => {
      const extra = level - channels.length;
      const conv = new Conv2d({
        inChannels: extra <= 0 ? channels[Math.min(level, channels.length - 1)]! : width,
        outChannels: width,
        kernelSize: extra < 0 ? 1 : 3,
        stride: extra < 0 ? 1 : 2,
        padding: extra < 0 ? 0 : 1,
        init: at(init, `${level}.0`),
      });
      return new ModuleList<Module>([conv, new GroupNorm({ groups: 32, features: width })]);
    }),
  );
}

/** Everything but the reported boxes; carries the prefix `model` of the state-dict names. */
export class GroundingDinoModel extends Module {
  level_embed: Parameter;
  backbone: Backbone;
  input_proj_vision: ModuleList<ModuleList>;
  text_backbone: Bert;
  text_projection: Linear;
  query_position_embeddings: Embedding;
  encoder: GroundingDinoEncoder;
  decoder: GroundingDinoDecoder;
  enc_output: Linear;
  enc_output_norm: LayerNorm;
  encoder_output_bbox_embed: MlpHead;

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
    const width = config.dModel;
    this.level_embed = new Parameter({
      data: normal(at(init, "level_embed"), config.numFeatureLevels * width, 1),
      shape: [config.numFeatureLevels, width],
    });
    this.backbone = new Backbone({ config, init: at(init, "backbone") });
    this.input_proj_vision = inputProjections(config, at(init, "input_proj_vision"));
    this.text_backbone = new Bert({ config: config.text, init: at(init, "text_backbone") });
    this.text_projection = new Linear({
      inFeatures: config.text.hiddenSize,
      outFeatures: width,
      init: at(init, "text_projection"),
    });
    this.query_position_embeddings = new Embedding({
      count: config.numQueries,
      features: width,
      init: at(init, "query_position_embeddings"),
    });
    this.encoder = new GroundingDinoEncoder({ config, init: at(init, "encoder") });
    this.decoder = new GroundingDinoDecoder({ config, boxHeads, init: at(init, "decoder") });
    this.enc_output = new Linear({ inFeatures: width, outFeatures: width, init: at(init, "enc_output") });
    this.enc_output_norm = new LayerNorm({ features: width, eps: config.layerNormEps });
    this.encoder_output_bbox_embed = new MlpHead({
      input: width,
      hidden: width,
      output: 4,
      depth: 3,
      init: at(init, "encoder_output_bbox_embed"),
    });
  }
}

/**
 * Grounding DINO (Liu et al., 2023) of any size, built from a configuration, with Hugging Face's state-dict names. All methods may run under
 * `tf.variableGrads` and `compile()`; none reads a value.
 */
export class GroundingDino extends Module {
  readonly config: GroundingDinoConfig;
  /** First, so that the shared head is saved under `bbox_embed.0`, where `transformers` looks for it. */
  bbox_embed: ModuleList<MlpHead>;
  model: GroundingDinoModel;

  /**
   * A network with the initial values of its layers; training from scratch needs others.
   * @param blank - zeros instead: for a network whose values are loaded next. @defaultValue false
   */
  constructor(config: GroundingDinoConfig, { seed, blank = false }: { seed: number; blank?: boolean }) {
    super();
    this.config = config;
    const init: InitContext = { seed, path: "", blank };
    const head = (i: number) =>
      new MlpHead({
        input: config.dModel,
        hidden: config.dModel,
        output: 4,
        depth: 3,
        init: at(init, `bbox_embed.${i}`),
      });
    const shared = config.sharedBoxHead ? head(0) : null;
    this.bbox_embed = new ModuleList(Array.from({ length: config.decoderLayers }, (_, i) => shared ?? head(i)));
    this.model = new GroundingDinoModel({ config, boxHeads: this.bbox_embed, init: at(init, "model") });
  }

  /** Backbone maps [B, h, w, C] of the stages in use, each normalised. They do not depend on the text. */
  imageMaps(pixels: tf.Tensor4D, { trace }: { trace?: GroundingDinoTrace } = {}): tf.Tensor4D[] {
    return this.model.backbone.conv_encoder.model.forward(pixels, trace);
  }

  /** Text features [B, N, d] before the encoder. */
  projectText(
    text: TextTensors,
    { tokenTypeIds, trace }: { tokenTypeIds?: tf.Tensor2D; trace?: GroundingDinoTrace } = {},
  ): tf.Tensor3D {
    const hidden = this.model.text_backbone.forward(
      {
        inputIds: text.inputIds,
        positionIds: text.positionIds,
        tokenTypeIds: tokenTypeIds ?? null,
        bias: maskBias(tf.expandDims(text.blockMask, 1)) as tf.Tensor4D,
      },
      trace,
    );
    const projected = this.model.text_projection.forward(hidden) as tf.Tensor3D;
    trace?.("text.features", projected);
    return projected;
  }

  /** What sizes and padding say. @param size - of the (padded) pixels */
  geometry(
    size: { readonly height: number; readonly width: number },
    pixelMask: tf.Tensor3D | null,
    trace?: GroundingDinoTrace,
  ): ImageGeometry {
    return imageGeometry(this.config, mapSizes(this.config, size), pixelMask, trace);
  }

  /** Projected maps through the feature enhancer. @param maps - of {@link GroundingDino.imageMaps} */
  encode(
    {
      maps,
      geometry,
      text,
      tokenTypeIds,
    }: {
      maps: readonly tf.Tensor4D[];
      geometry: ImageGeometry;
      text: TextTensors;
      tokenTypeIds?: tf.Tensor2D;
    },
    trace?: GroundingDinoTrace,
  ): EncodedImage {
    const { model, config } = this;
    const projectedText = this.projectText(text, {
      ...(tokenTypeIds && { tokenTypeIds }),
      ...(trace && { trace }),
    });
    const projected: tf.Tensor4D[] = [];
    for (let level = 0; level < config.numFeatureLevels; level++) {
      // The first level behind the backbone reads the raw last map, later ones the projected map before them.
      const source = level <= maps.length ? maps[Math.min(level, maps.length - 1)]! : projected[level - 1]!;
      const [conv, norm] = [...model.input_proj_vision.at(level)] as [Conv2d, GroupNorm];
      projected.push(norm.forward(conv.forward(source)));
      trace?.(`input_proj.${level}`, projected[level]!);
    }
    const batch = projected[0]!.shape[0];
    const flat = projected.map((map) => tf.reshape(map, [batch, map.size / batch / config.dModel, config.dModel]));
    const levelCode = geometry.levels.map(({ height, width }, level) =>
      tf.tile(tf.slice(model.level_embed.value(), [level, 0], [1, config.dModel]), [height * width, 1]),
    );
    const visionPositions = tf.add(geometry.positions, tf.expandDims(tf.concat(levelCode, 0), 0)) as tf.Tensor3D;
    const textPositions = sineEmbedding(
      tf.expandDims(tf.cast(text.positionIds, "float32"), 2),
      config.dModel,
    ) as tf.Tensor3D;
    const fused = model.encoder.forward(
      { vision: tf.concat(flat, 1) as tf.Tensor3D, text: projectedText },
      { geometry, visionPositions, textPositions, textMask: text.textMask, blockMask: text.blockMask },
      trace,
    );
    return { ...fused, projectedText };
  }

  /** Boxes of every cell, and the best `numQueries` of them by their largest logit over real tokens. */
  propose(
    encoded: FusedFeatures,
    { geometry, textMask }: { geometry: ImageGeometry; textMask: tf.Tensor2D },
  ): GroundingDinoProposals {
    const { model, config } = this;
    const [batch, count] = encoded.vision.shape;
    const queries = config.numQueries;
    if (count < queries) {
      throw new RangeError(`${queries} queries need as many cells; this image has ${count}. Use a larger image.`);
    }
    const features = tf.mul(encoded.vision, geometry.usable);
    const object = model.enc_output_norm.forward(model.enc_output.forward(features)) as tf.Tensor3D;
    const tokenLogits = tf.matMul(object, encoded.text, false, true) as tf.Tensor3D;
    const coordLogits = tf.add(model.encoder_output_bbox_embed.forward(object), geometry.proposals) as tf.Tensor3D;
    const scores = tf.max(tf.add(tokenLogits, tf.expandDims(maskBias(textMask), 1)), 2);
    const best = tf.topk(ops.stopGradient(scores), queries, true);
    const topkIndices = tf.cast(best.indices, "int32") as tf.Tensor2D;
    const starts = tf.tensor2d(
      Int32Array.from({ length: batch }, (_, b) => b * count),
      [batch, 1],
      "int32",
    );
    const rows = tf.reshape<tf.Rank.R1>(tf.add(topkIndices, starts), [batch * queries]);
    const pick = (x: tf.Tensor3D) => {
      const width = x.shape[2];
      return tf.reshape(tf.gather(tf.reshape(x, [batch * count, width]), rows), [batch, queries, width]) as tf.Tensor3D;
    };
    return {
      tokenLogits,
      coordLogits,
      usable: geometry.usable,
      topkIndices,
      topkScores: best.values as tf.Tensor2D,
      boxes: tf.sigmoid(pick(coordLogits)) as tf.Tensor3D,
      topkTokenLogits: pick(tokenLogits),
    };
  }

  /** Detections of every decoder layer from encoded features. */
  decode(
    encoded: FusedFeatures,
    { geometry, textMask }: { geometry: ImageGeometry; textMask: tf.Tensor2D },
    trace?: GroundingDinoTrace,
  ): { layers: GroundingDinoLayerOutput[]; proposals: GroundingDinoProposals } {
    const proposals = this.propose(encoded, { geometry, textMask });
    const batch = encoded.vision.shape[0];
    const table = tf.expandDims(this.model.query_position_embeddings.weight.value(), 0);
    const states = this.model.decoder.forward(
      {
        queries: tf.tile(table, [batch, 1, 1]) as tf.Tensor3D,
        references: ops.stopGradient(proposals.boxes),
        encoded,
        textMask,
        geometry,
      },
      trace,
    );
    const layers = states.map((state, i) => ({
      ...state,
      tokenLogits: tf.matMul(state.hidden, encoded.text, false, true) as tf.Tensor3D,
      boxes: tf.sigmoid(
        tf.add(this.bbox_embed.at(i).forward(state.hidden), inverseSigmoid(state.reference, this.config.logitEps)),
      ) as tf.Tensor3D,
    }));
    return { layers, proposals };
  }

  /** The whole network. */
  forward(
    { pixels, pixelMask, text, tokenTypeIds }: GroundingDinoInput,
    { trace }: { trace?: GroundingDinoTrace } = {},
  ): GroundingDinoOutput {
    const [, height, width] = pixels.shape;
    const geometry = this.geometry({ height, width }, pixelMask ?? null, trace);
    const maps = this.imageMaps(pixels, { ...(trace && { trace }) });
    const encoded = this.encode({ maps, geometry, text, ...(tokenTypeIds && { tokenTypeIds }) }, trace);
    return { ...this.decode(encoded, { geometry, textMask: text.textMask }, trace), encoded };
  }
}

/**
 * Token logits in Hugging Face's form: -Infinity for padding and for the columns behind the caption.
 * @param tokenLogits - [B, Q, N] @param textMask - [B, N] @returns [B, Q, maxTextLength]
 */
export function paddedLogits(tokenLogits: tf.Tensor3D, textMask: tf.Tensor2D, maxTextLength: number): tf.Tensor3D {
  const [batch, queries, length] = tokenLogits.shape;
  const real = tf.tile(tf.greater(tf.expandDims(textMask, 1), 0.5), [1, queries, 1]);
  const masked = tf.where(real, tokenLogits, tf.fill(tokenLogits.shape, Number.NEGATIVE_INFINITY));
  if (length === maxTextLength) return masked as tf.Tensor3D;
  const rest = tf.fill([batch, queries, maxTextLength - length], Number.NEGATIVE_INFINITY);
  return tf.concat([masked, rest], 2) as tf.Tensor3D;
}
