import { loadStateDict, openWeights, SegError, type TensorSource, type WeightFile } from "@seg/nn";
import { TeacherUnavailableError } from "../errors.js";
import { type GroundingDinoConfig, parseGroundingDinoConfig } from "./config.js";
import { GroundingDino } from "./grounding-dino.js";
import { groundingDinoOriginalKeys } from "./original-keys.js";

/** Attention heads of the transformer, and channels of a head of BERT: the sizes that no tensor's shape tells; so in every published file. */
const HEADS = 8;
const BERT_HEAD_WIDTH = 64;
/** Limit of the inverse sigmoid in the authors' code; Hugging Face's is 1e-5. */
const ORIGINAL_LOGIT_EPS = 1e-3;

/**
 * The configuration of a checkpoint that brings none, read from its shapes.
 * @param source - under the keys of `GroundingDino`
 * @throws {@link TeacherUnavailableError} for weights of another architecture
 */
export function groundingDinoConfigOfWeights(source: TensorSource): GroundingDinoConfig {
  const shape = (key: string): readonly number[] => {
    if (source.has(key)) return source.info(key).shape;
    const reason = `the weights are not Grounding DINO's: they lack ${key}`;
    throw new TeacherUnavailableError({ teacher: "grounding_dino", reason });
  };
  const count = (key: (index: number) => string): number => {
    let n = 0;
    while (source.has(key(n))) n++;
    return n;
  };
  const swin = "model.backbone.conv_encoder.model";
  const table = (stage: number) =>
    `${swin}.encoder.layers.${stage}.blocks.0.attention.self.relative_position_bias_table`;
  const stages = count(table);
  const block = `${swin}.encoder.layers.0.blocks.0`;
  const [embedDim = 0, , , patch = 0] = shape(`${swin}.embeddings.patch_embeddings.projection.weight`);
  const bert = "model.text_backbone";
  const textWidth = shape(`${bert}.embeddings.LayerNorm.weight`)[0]!;
  const encoder = "model.encoder.layers";
  const decoder = "model.decoder.layers";
  const [levels = 0, width = 0] = shape("model.level_embed");
  const points = (key: string) => shape(`${key}.attention_weights.weight`)[0]! / (HEADS * levels);
  return parseGroundingDinoConfig({
    backbone_config: {
      patch_size: patch,
      embed_dim: embedDim,
      depths: Array.from({ length: stages }, (_, stage) =>
        count((i) => `${swin}.encoder.layers.${stage}.blocks.${i}.layernorm_before.weight`),
      ),
      num_heads: Array.from({ length: stages }, (_, stage) => shape(table(stage))[1]!),
      window_size: (Math.sqrt(shape(table(0))[0]!) + 1) / 2,
      mlp_ratio: shape(`${block}.intermediate.dense.weight`)[0]! / embedDim,
      qkv_bias: source.has(`${block}.attention.self.query.bias`),
    },
    text_config: {
      vocab_size: shape(`${bert}.embeddings.word_embeddings.weight`)[0]!,
      hidden_size: textWidth,
      num_hidden_layers: count((i) => `${bert}.encoder.layer.${i}.intermediate.dense.weight`),
      num_attention_heads: textWidth / BERT_HEAD_WIDTH,
      intermediate_size: shape(`${bert}.encoder.layer.0.intermediate.dense.weight`)[0]!,
      max_position_embeddings: shape(`${bert}.embeddings.position_embeddings.weight`)[0]!,
      type_vocab_size: shape(`${bert}.embeddings.token_type_embeddings.weight`)[0]!,
    },
    d_model: width,
    num_queries: shape("model.query_position_embeddings.weight")[0]!,
    num_feature_levels: levels,
    encoder_layers: count((i) => `${encoder}.${i}.fusion_layer.vision_param`),
    encoder_ffn_dim: shape(`${encoder}.0.deformable_layer.fc1.weight`)[0]!,
    encoder_attention_heads: HEADS,
    encoder_n_points: points(`${encoder}.0.deformable_layer.self_attn`),
    decoder_layers: count((i) => `${decoder}.${i}.fc1.weight`),
    decoder_ffn_dim: shape(`${decoder}.0.fc1.weight`)[0]!,
    decoder_attention_heads: HEADS,
    decoder_n_points: points(`${decoder}.0.encoder_attn`),
    logit_eps: ORIGINAL_LOGIT_EPS,
  });
}

/**
 * Loads a checkpoint of the authors (`groundingdino_swint_ogc.pth`, `groundingdino_swinb_cogcoor.pth`). Sizes are read from the tensors.
 *
 * @throws {@link TeacherUnavailableError} when the file cannot be read or holds another architecture, StateDictError when keys are left over or
 * shapes differ, CheckpointFormatError and UnsafePickleError for damaged and hostile files
 */
export function loadOriginalGroundingDino(file: string): GroundingDino {
  let weights: WeightFile;
  try {
    weights = openWeights(file);
  } catch (cause) {
    // A damaged file says more about itself than this layer can.
    if (SegError.isInstance(cause)) throw cause;
    throw new TeacherUnavailableError({ teacher: "grounding_dino", reason: `${file} cannot be read`, cause });
  }
  const config = groundingDinoConfigOfWeights(groundingDinoOriginalKeys.apply(weights));
  const model = new GroundingDino(config, { seed: 0, blank: true });
  try {
    loadStateDict(model, weights, { map: groundingDinoOriginalKeys });
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}
