import { TeacherConfigError } from "../errors.js";

/** Image backbone (`backbone_config`, model type `swin`). */
export interface SwinConfig {
  /** Side of a patch, pixels. */
  readonly patchSize: number;
  /** Channels of stage 1; each later stage doubles them. */
  readonly embedDim: number;
  readonly depths: readonly number[];
  readonly numHeads: readonly number[];
  /** Side of the attention windows, tokens. */
  readonly windowSize: number;
  readonly mlpRatio: number;
  readonly qkvBias: boolean;
  readonly layerNormEps: number;
  /** Only recorded: relative positions make the network independent of the image size. */
  readonly imageSize: number;
  /** Stages whose maps are used, 1-based, ascending. */
  readonly outIndices: readonly number[];
}

/** Text backbone (`text_config`, model type `bert`). */
export interface BertConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly intermediateSize: number;
  readonly maxPositionEmbeddings: number;
  readonly typeVocabSize: number;
  readonly layerNormEps: number;
}

/** A Grounding DINO network of any size. */
export interface GroundingDinoConfig {
  readonly backbone: SwinConfig;
  readonly text: BertConfig;
  /** Width of the transformer; a multiple of 32, the groups of the input projections. */
  readonly dModel: number;
  readonly numQueries: number;
  readonly numFeatureLevels: number;
  readonly encoderLayers: number;
  readonly encoderFfnDim: number;
  readonly encoderAttentionHeads: number;
  readonly encoderPoints: number;
  readonly decoderLayers: number;
  readonly decoderFfnDim: number;
  readonly decoderAttentionHeads: number;
  readonly decoderPoints: number;
  /** Columns of the logits; captions of more tokens are split. */
  readonly maxTextLength: number;
  /** Of the image's sine positions. */
  readonly positionTemperature: number;
  readonly layerNormEps: number;
  /** One box head for all decoder layers. */
  readonly sharedBoxHead: boolean;
  /** Values nearer to 0 or 1 than this are moved before the inverse sigmoid: 1e-5 in `transformers`, 1e-3 in the original repository. */
  readonly logitEps: number;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function fail(field: string, expected: string, actual: unknown): never {
  throw new TeacherConfigError({ model: "Grounding DINO", field, expected, actual });
}

/** Reads fields of one section; a missing one takes the default of Hugging Face's configuration class. */
function reader(section: Json, prefix: string) {
  const name = (key: string) => (prefix === "" ? key : `${prefix}.${key}`);
  return {
    integer(key: string, fallback: number, least = 1): number {
      const value = section[key] ?? fallback;
      return Number.isInteger(value) && (value as number) >= least
        ? (value as number)
        : fail(name(key), `an integer >= ${least}`, value);
    },
    positive(key: string, fallback: number): number {
      const value = section[key] ?? fallback;
      return typeof value === "number" && value > 0 ? value : fail(name(key), "a number > 0", value);
    },
    flag(key: string, fallback: boolean): boolean {
      const value = section[key] ?? fallback;
      return typeof value === "boolean" ? value : fail(name(key), "a boolean", value);
    },
    integers(key: string, fallback: readonly number[]): readonly number[] {
      const value = section[key] ?? fallback;
      return Array.isArray(value) && value.length > 0 && value.every((i) => Number.isInteger(i) && i > 0)
        ? value
        : fail(name(key), "a list of integers > 0", value);
    },
    /** A field that must have the one value this package computes. */
    only(key: string, supported: unknown): void {
      const value = section[key] ?? supported;
      if (value !== supported) fail(name(key), JSON.stringify(supported), value);
    },
  };
}

/**
 * A Hugging Face Grounding DINO `config.json` (parsed). Missing fields take the defaults of the library (Swin-T, BERT-base), sections may be
 * absent. Dropout and drop path are not read: this package trains adapters on an evaluating base.
 * @throws {@link TeacherConfigError} naming the field; also for parts that no published Grounding DINO uses (learned positions, one stage,
 * absolute Swin positions, timm backbones)
 */
export function parseGroundingDinoConfig(json: unknown): GroundingDinoConfig {
  if (!isObject(json)) return fail("(root)", "an object", json);
  if (json["model_type"] !== undefined && json["model_type"] !== "grounding-dino") {
    fail("model_type", '"grounding-dino"', json["model_type"]);
  }
  const section = (key: string): Json => {
    const value = json[key] ?? {};
    return isObject(value) ? value : fail(key, "an object", value);
  };
  const root = reader(json, "");
  root.only("position_embedding_type", "sine");
  root.only("two_stage", true);
  root.only("two_stage_bbox_embed_share", false);
  root.only("embedding_init_target", true);
  root.only("activation_function", "relu");
  root.only("query_dim", 4);
  root.only("use_timm_backbone", false);

  const swin = section("backbone_config");
  const s = reader(swin, "backbone_config");
  s.only("model_type", "swin");
  s.only("use_absolute_embeddings", false);
  s.only("hidden_act", "gelu");
  s.only("num_channels", 3);
  const depths = s.integers("depths", [2, 2, 6, 2]);
  const outFeatures = swin["out_features"];
  const fromNames =
    Array.isArray(outFeatures) && outFeatures.every((f) => typeof f === "string" && /^stage\d+$/.test(f))
      ? outFeatures.map((f: string) => Number(f.slice(5)))
      : [2, 3, 4];
  const backbone: SwinConfig = {
    patchSize: s.integer("patch_size", 4),
    embedDim: s.integer("embed_dim", 96),
    depths,
    numHeads: s.integers("num_heads", [3, 6, 12, 24]),
    windowSize: s.integer("window_size", 7),
    mlpRatio: s.positive("mlp_ratio", 4),
    qkvBias: s.flag("qkv_bias", true),
    layerNormEps: s.positive("layer_norm_eps", 1e-5),
    imageSize: s.integer("image_size", 224),
    outIndices: s.integers("out_indices", fromNames),
  };
  const t = reader(section("text_config"), "text_config");
  t.only("model_type", "bert");
  t.only("hidden_act", "gelu");
  t.only("position_embedding_type", "absolute");
  const text: BertConfig = {
    vocabSize: t.integer("vocab_size", 30522),
    hiddenSize: t.integer("hidden_size", 768),
    numHiddenLayers: t.integer("num_hidden_layers", 12),
    numAttentionHeads: t.integer("num_attention_heads", 12),
    intermediateSize: t.integer("intermediate_size", 3072),
    maxPositionEmbeddings: t.integer("max_position_embeddings", 512),
    typeVocabSize: t.integer("type_vocab_size", 2),
    layerNormEps: t.positive("layer_norm_eps", 1e-12),
  };
  const config: GroundingDinoConfig = {
    backbone,
    text,
    dModel: root.integer("d_model", 256),
    numQueries: root.integer("num_queries", 900),
    numFeatureLevels: root.integer("num_feature_levels", 4, 2),
    encoderLayers: root.integer("encoder_layers", 6),
    encoderFfnDim: root.integer("encoder_ffn_dim", 2048),
    encoderAttentionHeads: root.integer("encoder_attention_heads", 8, 2),
    encoderPoints: root.integer("encoder_n_points", 4),
    decoderLayers: root.integer("decoder_layers", 6),
    decoderFfnDim: root.integer("decoder_ffn_dim", 2048),
    decoderAttentionHeads: root.integer("decoder_attention_heads", 8),
    decoderPoints: root.integer("decoder_n_points", 4),
    maxTextLength: root.integer("max_text_len", 256, 4),
    positionTemperature: root.positive("positional_embedding_temperature", 20),
    layerNormEps: root.positive("layer_norm_eps", 1e-5),
    sharedBoxHead: root.flag("decoder_bbox_embed_share", true),
    logitEps: root.positive("logit_eps", 1e-5),
  };
  checkConfig(config);
  return config;
}

/** Relations between fields that the network needs. */
function checkConfig(config: GroundingDinoConfig): void {
  const need = (ok: boolean, field: string, expected: string, actual: unknown): void => {
    if (!ok) fail(field, expected, actual);
  };
  const { backbone, text, dModel } = config;
  const stages = backbone.depths.length;
  need(backbone.numHeads.length === stages, "backbone_config.num_heads", `${stages} numbers`, backbone.numHeads);
  for (const [stage, heads] of backbone.numHeads.entries()) {
    const width = backbone.embedDim * 2 ** stage;
    need(width % heads === 0, "backbone_config.num_heads", `a divisor of ${width} for stage ${stage + 1}`, heads);
  }
  const ascending = backbone.outIndices.every((v, i) => v <= stages && (i === 0 || v > backbone.outIndices[i - 1]!));
  need(ascending, "backbone_config.out_indices", `ascending stages of 1..${stages}`, backbone.outIndices);
  need(
    config.numFeatureLevels >= backbone.outIndices.length,
    "num_feature_levels",
    `at least ${backbone.outIndices.length}, the backbone's maps`,
    config.numFeatureLevels,
  );
  need(
    text.hiddenSize % text.numAttentionHeads === 0,
    "text_config.hidden_size",
    `a multiple of ${text.numAttentionHeads} heads`,
    text.hiddenSize,
  );
  // [SEP] is 102, "." 1012, "?" 1029: the text path knows them by number.
  need(text.vocabSize > 1029, "text_config.vocab_size", "at least 1030, the delimiters' ids", text.vocabSize);
  need(dModel % 32 === 0, "d_model", "a multiple of 32", dModel);
  for (const [field, heads] of [
    ["encoder_attention_heads", config.encoderAttentionHeads],
    ["decoder_attention_heads", config.decoderAttentionHeads],
  ] as const) {
    need(dModel % heads === 0, field, `a divisor of d_model ${dModel}`, heads);
  }
  need(config.encoderAttentionHeads % 2 === 0, "encoder_attention_heads", "even", config.encoderAttentionHeads);
  need(
    config.encoderFfnDim % config.encoderAttentionHeads === 0,
    "encoder_ffn_dim",
    `a multiple of ${config.encoderAttentionHeads}`,
    config.encoderFfnDim,
  );
}

/** Channels of the maps that the backbone hands on, in the order of `outIndices`. */
export function backboneChannels({ embedDim, outIndices }: SwinConfig): number[] {
  return outIndices.map((stage) => embedDim * 2 ** (stage - 1));
}

/** The `config.json` that `transformers` reads; `parseGroundingDinoConfig(groundingDinoConfigJson(c))` equals `c`. */
export function groundingDinoConfigJson(config: GroundingDinoConfig): Json {
  const { backbone, text } = config;
  const stages = backbone.depths.length;
  return {
    architectures: ["GroundingDinoForObjectDetection"],
    model_type: "grounding-dino",
    activation_dropout: 0,
    activation_function: "relu",
    attention_dropout: 0,
    auxiliary_loss: false,
    backbone: null,
    backbone_config: {
      attention_probs_dropout_prob: 0,
      depths: backbone.depths,
      drop_path_rate: 0,
      embed_dim: backbone.embedDim,
      hidden_act: "gelu",
      hidden_dropout_prob: 0,
      hidden_size: backbone.embedDim * 2 ** (stages - 1),
      image_size: backbone.imageSize,
      layer_norm_eps: backbone.layerNormEps,
      mlp_ratio: backbone.mlpRatio,
      model_type: "swin",
      num_channels: 3,
      num_heads: backbone.numHeads,
      num_layers: stages,
      out_features: backbone.outIndices.map((stage) => `stage${stage}`),
      out_indices: backbone.outIndices,
      patch_size: backbone.patchSize,
      qkv_bias: backbone.qkvBias,
      stage_names: ["stem", ...backbone.depths.map((_, i) => `stage${i + 1}`)],
      use_absolute_embeddings: false,
      window_size: backbone.windowSize,
    },
    d_model: config.dModel,
    decoder_attention_heads: config.decoderAttentionHeads,
    decoder_bbox_embed_share: config.sharedBoxHead,
    decoder_ffn_dim: config.decoderFfnDim,
    decoder_layers: config.decoderLayers,
    decoder_n_points: config.decoderPoints,
    disable_custom_kernels: true,
    dropout: 0,
    embedding_init_target: true,
    encoder_attention_heads: config.encoderAttentionHeads,
    encoder_ffn_dim: config.encoderFfnDim,
    encoder_layers: config.encoderLayers,
    encoder_n_points: config.encoderPoints,
    fusion_dropout: 0,
    fusion_droppath: 0,
    is_encoder_decoder: true,
    layer_norm_eps: config.layerNormEps,
    logit_eps: config.logitEps,
    max_text_len: config.maxTextLength,
    num_feature_levels: config.numFeatureLevels,
    num_queries: config.numQueries,
    position_embedding_type: "sine",
    positional_embedding_temperature: config.positionTemperature,
    query_dim: 4,
    text_config: {
      attention_probs_dropout_prob: 0,
      hidden_act: "gelu",
      hidden_dropout_prob: 0,
      hidden_size: text.hiddenSize,
      intermediate_size: text.intermediateSize,
      layer_norm_eps: text.layerNormEps,
      max_position_embeddings: text.maxPositionEmbeddings,
      model_type: "bert",
      num_attention_heads: text.numAttentionHeads,
      num_hidden_layers: text.numHiddenLayers,
      position_embedding_type: "absolute",
      type_vocab_size: text.typeVocabSize,
      vocab_size: text.vocabSize,
    },
    text_enhancer_dropout: 0,
    two_stage: true,
    two_stage_bbox_embed_share: false,
    use_pretrained_backbone: false,
    use_timm_backbone: false,
  };
}

/** Configurations of the published checkpoints. */
export const GROUNDING_DINO_SIZES: { readonly tiny: GroundingDinoConfig; readonly base: GroundingDinoConfig } = {
  tiny: parseGroundingDinoConfig({}),
  base: parseGroundingDinoConfig({
    backbone_config: {
      embed_dim: 128,
      depths: [2, 2, 18, 2],
      num_heads: [4, 8, 16, 32],
      window_size: 12,
      image_size: 384,
    },
  }),
};
