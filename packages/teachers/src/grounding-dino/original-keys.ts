import { KeyMap, type KeyRule } from "@seg/nn";

/** `prefix.from` -> `prefix.to` where a component of the key begins with `from` and ends there. */
const renames = (prefix: string, pairs: Readonly<Record<string, string>>): KeyRule[] =>
  Object.entries(pairs).map(([from, to]) => ({
    match: new RegExp(`^(${prefix})\\.${from.replaceAll(".", "\\.")}(?=\\.|$)`),
    rename: `$1.${to}`,
  }));

/** PyTorch's fused `in_proj_weight` and `in_proj_bias` in thirds. */
const splitProjection = (prefix: string): KeyRule[] =>
  ["weight", "bias"].map((kind) => ({
    match: new RegExp(`(?<=^${prefix}\\.)in_proj_${kind}$`),
    split: ["query", "key", "value"].map((part) => `${part}.${kind}`),
  }));

const SWIN = "model\\.backbone\\.conv_encoder\\.model";
const BLOCK = `${SWIN}\\.encoder\\.layers\\.\\d+\\.blocks\\.\\d+`;
const ENCODER = "model\\.encoder\\.layers\\.\\d+";
const DECODER = "model\\.decoder\\.layers\\.\\d+";

/** From the keys of the authors' `groundingdino_swin*.pth` files to those of `GroundingDino`. What nothing reads (BERT's pooler, index tables) is left out. */
export const groundingDinoOriginalKeys = new KeyMap(
  [
    { match: /^module\./, rename: "" },
    { match: /\.relative_position_index$/, drop: true },
    { match: /^bert\.(pooler\.|embeddings\.position_ids$)/, drop: true },
    { match: /^label_enc\./, drop: true },
    // Swin
    {
      match: /^backbone\.0\.patch_embed\.proj\./,
      rename: "model.backbone.conv_encoder.model.embeddings.patch_embeddings.projection.",
    },
    { match: /^backbone\.0\.patch_embed\.norm\./, rename: "model.backbone.conv_encoder.model.embeddings.norm." },
    { match: /^backbone\.0\.layers\./, rename: "model.backbone.conv_encoder.model.encoder.layers." },
    ...[1, 2, 3].map((i) => ({
      match: new RegExp(`^backbone\\.0\\.norm${i}\\.`),
      rename: `model.backbone.conv_encoder.model.hidden_states_norms.stage${i + 1}.`,
    })),
    ...renames(BLOCK, {
      norm1: "layernorm_before",
      norm2: "layernorm_after",
      "attn.proj": "attention.output.dense",
      "mlp.fc1": "intermediate.dense",
      "mlp.fc2": "output.dense",
      attn: "attention.self",
    }),
    ...["weight", "bias"].map((kind) => ({
      match: new RegExp(`(?<=^${BLOCK}\\.attention\\.self\\.)qkv\\.${kind}$`),
      split: ["query", "key", "value"].map((part) => `${part}.${kind}`),
    })),
    // Text and projections
    { match: /^bert\./, rename: "model.text_backbone." },
    { match: /^feat_map\./, rename: "model.text_projection." },
    { match: /^input_proj\./, rename: "model.input_proj_vision." },
    { match: /^transformer\.level_embed$/, rename: "model.level_embed" },
    { match: /^transformer\.tgt_embed\./, rename: "model.query_position_embeddings." },
    // Encoder
    { match: /^transformer\.encoder\.layers\.(\d+)\./, rename: "model.encoder.layers.$1.deformable_layer." },
    { match: /^transformer\.encoder\.text_layers\.(\d+)\./, rename: "model.encoder.layers.$1.text_enhancer_layer." },
    { match: /^transformer\.encoder\.fusion_layers\.(\d+)\./, rename: "model.encoder.layers.$1.fusion_layer." },
    ...renames(`${ENCODER}\\.deformable_layer`, {
      norm1: "self_attn_layer_norm",
      norm2: "final_layer_norm",
      linear1: "fc1",
      linear2: "fc2",
    }),
    ...renames(`${ENCODER}\\.text_enhancer_layer`, {
      norm1: "layer_norm_before",
      norm2: "layer_norm_after",
      linear1: "fc1",
      linear2: "fc2",
    }),
    ...splitProjection(`${ENCODER}\\.text_enhancer_layer\\.self_attn`),
    ...renames(`${ENCODER}\\.fusion_layer`, {
      gamma_v: "vision_param",
      gamma_l: "text_param",
      layer_norm_v: "layer_norm_vision",
      layer_norm_l: "layer_norm_text",
      "attn.v_proj": "attn.vision_proj",
      "attn.l_proj": "attn.text_proj",
      "attn.values_v_proj": "attn.values_vision_proj",
      "attn.values_l_proj": "attn.values_text_proj",
      "attn.out_v_proj": "attn.out_vision_proj",
      "attn.out_l_proj": "attn.out_text_proj",
    }),
    // Decoder: self attention is norm2 here, attention to the image norm1.
    { match: /^transformer\.decoder\.norm\./, rename: "model.decoder.layer_norm." },
    { match: /^transformer\.decoder\.ref_point_head\./, rename: "model.decoder.reference_points_head." },
    { match: /^transformer\.decoder\.(layers|bbox_embed)\./, rename: "model.decoder.$1." },
    ...renames(DECODER, {
      cross_attn: "encoder_attn",
      norm1: "encoder_attn_layer_norm",
      ca_text: "encoder_attn_text",
      catext_norm: "encoder_attn_text_layer_norm",
      norm2: "self_attn_layer_norm",
      norm3: "final_layer_norm",
      linear1: "fc1",
      linear2: "fc2",
    }),
    ...splitProjection(`${DECODER}\\.(?:self_attn|encoder_attn_text)`),
    // Query selection
    { match: /^transformer\.enc_out_bbox_embed\./, rename: "model.encoder_output_bbox_embed." },
    { match: /^transformer\.(enc_output|enc_output_norm)\./, rename: "model.$1." },
  ],
  { targets: [/^model\.(?!backbone\.0)/, /^bbox_embed\.\d+\.layers\./] },
);
