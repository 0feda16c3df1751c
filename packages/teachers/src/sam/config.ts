import { TeacherConfigError } from "../errors.js";

/** Image encoder (`vision_config`). Sizes in pixels of the model image, tokens or channels. */
export interface SamVisionConfig {
  readonly hiddenSize: number;
  readonly outputChannels: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly layerNormEps: number;
  readonly qkvBias: boolean;
  readonly useAbsPos: boolean;
  readonly useRelPos: boolean;
  /** Side of the attention windows in tokens; 0 means global attention everywhere. */
  readonly windowSize: number;
  readonly globalAttnIndexes: readonly number[];
  readonly numPosFeats: number;
  readonly mlpDim: number;
  readonly hiddenAct: SamActivation;
}

/** Prompt encoder (`prompt_encoder_config`). */
export interface SamPromptConfig {
  readonly hiddenSize: number;
  readonly maskInputChannels: number;
  readonly layerNormEps: number;
  readonly hiddenAct: SamActivation;
}

/** Mask decoder (`mask_decoder_config`). */
export interface SamDecoderConfig {
  readonly hiddenSize: number;
  readonly mlpDim: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly attentionDownsampleRate: number;
  readonly numMultimaskOutputs: number;
  readonly iouHeadDepth: number;
  readonly iouHeadHiddenDim: number;
  readonly layerNormEps: number;
  readonly hiddenAct: SamActivation;
}

/** Activation functions of SAM's layers. */
export type SamActivation = "gelu" | "relu";

/** MobileSAM's image encoder (`tiny_vit_config`); one entry per stage. */
export interface TinyVitConfig {
  readonly embedDims: readonly number[];
  readonly depths: readonly number[];
  readonly numHeads: readonly number[];
  readonly windowSizes: readonly number[];
  readonly mbconvExpandRatio: number;
  readonly mlpRatio: number;
}

/** A SAM network of any size. */
export interface SamConfig {
  readonly vision: SamVisionConfig;
  readonly prompt: SamPromptConfig;
  readonly decoder: SamDecoderConfig;
  /** Replaces the ViT of `vision`, of which image size, patch (16) and output channels still count. */
  readonly tinyVit?: TinyVitConfig;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Reads fields of one section; a missing one takes the default of Hugging Face's configuration class. */
function reader(section: Json, prefix: string) {
  const fail = (key: string, expected: string): never => {
    throw new TeacherConfigError({ field: `${prefix}.${key}`, expected, actual: section[key] });
  };
  return {
    integer(key: string, fallback: number, least = 1): number {
      const value = section[key] ?? fallback;
      return Number.isInteger(value) && (value as number) >= least
        ? (value as number)
        : fail(key, `an integer >= ${least}`);
    },
    positive(key: string, fallback: number): number {
      const value = section[key] ?? fallback;
      return typeof value === "number" && value > 0 ? value : fail(key, "a number > 0");
    },
    flag(key: string, fallback: boolean): boolean {
      const value = section[key] ?? fallback;
      return typeof value === "boolean" ? value : fail(key, "a boolean");
    },
    activation(key: string, fallback: SamActivation): SamActivation {
      const value = section[key] ?? fallback;
      return value === "gelu" || value === "relu" ? value : fail(key, '"gelu" or "relu"');
    },
    indexes(key: string, fallback: readonly number[]): readonly number[] {
      const value = section[key] ?? fallback;
      return Array.isArray(value) && value.every((i) => Number.isInteger(i) && i >= 0)
        ? value
        : fail(key, "a list of layer indexes");
    },
  };
}

/**
 * A Hugging Face SAM `config.json` (parsed). Missing fields take the defaults of the library (ViT-B), sections may be absent.
 * @throws {@link TeacherConfigError} naming the field
 */
export function parseSamConfig(json: unknown): SamConfig {
  if (!isObject(json)) throw new TeacherConfigError({ field: "(root)", expected: "an object", actual: json });
  if (json["model_type"] !== undefined && json["model_type"] !== "sam") {
    throw new TeacherConfigError({ field: "model_type", expected: '"sam"', actual: json["model_type"] });
  }
  const section = (key: string): Json => {
    const value = json[key] ?? {};
    if (!isObject(value)) throw new TeacherConfigError({ field: key, expected: "an object", actual: value });
    return value;
  };
  const v = reader(section("vision_config"), "vision_config");
  const p = reader(section("prompt_encoder_config"), "prompt_encoder_config");
  const d = reader(section("mask_decoder_config"), "mask_decoder_config");

  const hiddenSize = v.integer("hidden_size", 768);
  const mlpRatio = v.positive("mlp_ratio", 4);
  const vision: SamVisionConfig = {
    hiddenSize,
    outputChannels: v.integer("output_channels", 256),
    numHiddenLayers: v.integer("num_hidden_layers", 12),
    numAttentionHeads: v.integer("num_attention_heads", 12),
    imageSize: v.integer("image_size", 1024),
    patchSize: v.integer("patch_size", 16),
    layerNormEps: v.positive("layer_norm_eps", 1e-6),
    qkvBias: v.flag("qkv_bias", true),
    useAbsPos: v.flag("use_abs_pos", true),
    useRelPos: v.flag("use_rel_pos", true),
    windowSize: v.integer("window_size", 14, 0),
    globalAttnIndexes: v.indexes("global_attn_indexes", [2, 5, 8, 11]),
    numPosFeats: v.integer("num_pos_feats", 128),
    mlpDim: v.integer("mlp_dim", Math.trunc(hiddenSize * mlpRatio)),
    hiddenAct: v.activation("hidden_act", "gelu"),
  };
  const prompt: SamPromptConfig = {
    hiddenSize: p.integer("hidden_size", 256),
    maskInputChannels: p.integer("mask_input_channels", 16),
    layerNormEps: p.positive("layer_norm_eps", 1e-6),
    hiddenAct: p.activation("hidden_act", "gelu"),
  };
  const decoder: SamDecoderConfig = {
    hiddenSize: d.integer("hidden_size", 256),
    mlpDim: d.integer("mlp_dim", 2048),
    numHiddenLayers: d.integer("num_hidden_layers", 2),
    numAttentionHeads: d.integer("num_attention_heads", 8),
    attentionDownsampleRate: d.integer("attention_downsample_rate", 2),
    numMultimaskOutputs: d.integer("num_multimask_outputs", 3),
    iouHeadDepth: d.integer("iou_head_depth", 3, 2),
    iouHeadHiddenDim: d.integer("iou_head_hidden_dim", 256),
    layerNormEps: d.positive("layer_norm_eps", 1e-6),
    hiddenAct: d.activation("hidden_act", "relu"),
  };
  checkConfig({ vision, prompt, decoder });
  if (json["tiny_vit_config"] === undefined) return { vision, prompt, decoder };
  const t = reader(section("tiny_vit_config"), "tiny_vit_config");
  const tinyVit: TinyVitConfig = {
    embedDims: t.indexes("embed_dims", [64, 128, 160, 320]),
    depths: t.indexes("depths", [2, 2, 6, 2]),
    numHeads: t.indexes("num_heads", [2, 4, 5, 10]),
    windowSizes: t.indexes("window_sizes", [7, 7, 14, 7]),
    mbconvExpandRatio: t.integer("mbconv_expand_ratio", 4),
    mlpRatio: t.integer("mlp_ratio", 4),
  };
  checkTinyVit(tinyVit, vision);
  return { vision, prompt, decoder, tinyVit };
}

/** Four stages of equal lists, widths that divide into heads, and the stride of 16 that the merging has. */
function checkTinyVit(
  { embedDims, depths, numHeads, windowSizes }: TinyVitConfig,
  { patchSize }: SamVisionConfig,
): void {
  const need = (ok: boolean, field: string, expected: string, actual: unknown): void => {
    if (!ok) throw new TeacherConfigError({ field, expected, actual });
  };
  for (const [key, list] of Object.entries({
    embed_dims: embedDims,
    depths,
    num_heads: numHeads,
    window_sizes: windowSizes,
  })) {
    const isUsable = list.length === 4 && list.every((value) => value > 0);
    need(isUsable, `tiny_vit_config.${key}`, "four positive integers", list);
  }
  for (const [stage, width] of embedDims.entries()) {
    need(width % numHeads[stage]! === 0, "tiny_vit_config.num_heads", `divisors of ${embedDims.join(", ")}`, numHeads);
  }
  need(patchSize === 16, "vision_config.patch_size", "16, the stride of TinyViT", patchSize);
}

/** Relations between fields that the network needs. */
function checkConfig({ vision, prompt, decoder }: SamConfig): void {
  const need = (ok: boolean, field: string, expected: string, actual: unknown): void => {
    if (!ok) throw new TeacherConfigError({ field, expected, actual });
  };
  const { hiddenSize, numAttentionHeads, imageSize, patchSize, outputChannels, numPosFeats } = vision;
  need(
    hiddenSize % numAttentionHeads === 0,
    "vision_config.hidden_size",
    `a multiple of ${numAttentionHeads} heads`,
    hiddenSize,
  );
  need(imageSize % patchSize === 0, "vision_config.image_size", `a multiple of the patch ${patchSize}`, imageSize);
  need(
    prompt.hiddenSize === outputChannels,
    "prompt_encoder_config.hidden_size",
    `vision_config.output_channels ${outputChannels}`,
    prompt.hiddenSize,
  );
  need(
    decoder.hiddenSize === outputChannels,
    "mask_decoder_config.hidden_size",
    `vision_config.output_channels ${outputChannels}`,
    decoder.hiddenSize,
  );
  need(
    2 * numPosFeats === prompt.hiddenSize,
    "vision_config.num_pos_feats",
    `half of ${prompt.hiddenSize}`,
    numPosFeats,
  );
  need(decoder.hiddenSize % 8 === 0, "mask_decoder_config.hidden_size", "a multiple of 8", decoder.hiddenSize);
  need(
    (decoder.hiddenSize / decoder.attentionDownsampleRate) % decoder.numAttentionHeads === 0,
    "mask_decoder_config.num_attention_heads",
    "a divisor of hidden_size / attention_downsample_rate",
    decoder.numAttentionHeads,
  );
  need(
    prompt.maskInputChannels % 4 === 0,
    "prompt_encoder_config.mask_input_channels",
    "a multiple of 4",
    prompt.maskInputChannels,
  );
}

/** Tokens along one side of the image embedding, image / patch; mask logits are four times as fine. */
export function embeddingSide(config: SamConfig): number {
  return config.vision.imageSize / config.vision.patchSize;
}

/** The `config.json` that `transformers` reads; `parseSamConfig(samConfigJson(c))` equals `c`. */
export function samConfigJson({ vision, prompt, decoder, tinyVit }: SamConfig): Json {
  return {
    ...(tinyVit && {
      tiny_vit_config: {
        embed_dims: tinyVit.embedDims,
        depths: tinyVit.depths,
        num_heads: tinyVit.numHeads,
        window_sizes: tinyVit.windowSizes,
        mbconv_expand_ratio: tinyVit.mbconvExpandRatio,
        mlp_ratio: tinyVit.mlpRatio,
      },
    }),
    architectures: ["SamModel"],
    model_type: "sam",
    mask_decoder_config: {
      attention_downsample_rate: decoder.attentionDownsampleRate,
      hidden_act: decoder.hiddenAct,
      hidden_size: decoder.hiddenSize,
      iou_head_depth: decoder.iouHeadDepth,
      iou_head_hidden_dim: decoder.iouHeadHiddenDim,
      layer_norm_eps: decoder.layerNormEps,
      mlp_dim: decoder.mlpDim,
      num_attention_heads: decoder.numAttentionHeads,
      num_hidden_layers: decoder.numHiddenLayers,
      num_multimask_outputs: decoder.numMultimaskOutputs,
    },
    prompt_encoder_config: {
      hidden_act: prompt.hiddenAct,
      hidden_size: prompt.hiddenSize,
      image_embedding_size: vision.imageSize / vision.patchSize,
      image_size: vision.imageSize,
      layer_norm_eps: prompt.layerNormEps,
      mask_input_channels: prompt.maskInputChannels,
      num_point_embeddings: 4,
      patch_size: vision.patchSize,
    },
    vision_config: {
      attention_dropout: 0,
      global_attn_indexes: vision.globalAttnIndexes,
      hidden_act: vision.hiddenAct,
      hidden_size: vision.hiddenSize,
      image_size: vision.imageSize,
      layer_norm_eps: vision.layerNormEps,
      mlp_dim: vision.mlpDim,
      mlp_ratio: vision.mlpDim / vision.hiddenSize,
      num_attention_heads: vision.numAttentionHeads,
      num_channels: 3,
      num_hidden_layers: vision.numHiddenLayers,
      num_pos_feats: vision.numPosFeats,
      output_channels: vision.outputChannels,
      patch_size: vision.patchSize,
      qkv_bias: vision.qkvBias,
      use_abs_pos: vision.useAbsPos,
      use_rel_pos: vision.useRelPos,
      window_size: vision.windowSize,
    },
  };
}
