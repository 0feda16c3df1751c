import { KeyMap, type KeyRule } from "@seg/nn";

/** `prefix.from.` -> `prefix.to.` for every pair. */
const renames = (prefix: string, pairs: Readonly<Record<string, string>>): KeyRule[] =>
  Object.entries(pairs).map(([from, to]) => ({
    match: new RegExp(`^(${prefix})\\.${from.replaceAll(".", "\\.")}\\.`),
    rename: `$1.${to}.`,
  }));

/**
 * From the keys of the authors' `.pth` files to those of `Sam`: SAM ViT-B, L, H and MobileSAM, whose TinyViT keeps its names. Rules that belong to one encoder
 * match nothing of the other. TinyViT's classifier, which nothing reads, is left out.
 */
export const samOriginalKeys = new KeyMap(
  [
    { match: /^module\./, rename: "" },
    { match: /^pixel_(mean|std)$/, drop: true },
    { match: /^image_encoder\.(norm_head|head)\./, drop: true },
    { match: /\.attention_bias_idxs$/, drop: true },
    { match: /^image_encoder\./, rename: "vision_encoder." },
    ...renames("vision_encoder", { "patch_embed.proj": "patch_embed.projection", blocks: "layers" }),
    ...renames("vision_encoder\\.layers\\.\\d+", { norm1: "layer_norm1", norm2: "layer_norm2" }),
    ...renames("vision_encoder\\.neck", { 0: "conv1", 1: "layer_norm1", 2: "conv2", 3: "layer_norm2" }),
    ...renames("prompt_encoder", {
      "mask_downscaling.0": "mask_embed.conv1",
      "mask_downscaling.1": "mask_embed.layer_norm1",
      "mask_downscaling.3": "mask_embed.conv2",
      "mask_downscaling.4": "mask_embed.layer_norm2",
      "mask_downscaling.6": "mask_embed.conv3",
      point_embeddings: "point_embed",
    }),
    {
      match: /^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$/,
      rename: "shared_image_embedding.positional_embedding",
    },
    ...renames("mask_decoder", {
      "output_upscaling.0": "upscale_conv1",
      "output_upscaling.1": "upscale_layer_norm",
      "output_upscaling.3": "upscale_conv2",
      "transformer.norm_final_attn": "transformer.layer_norm_final_attn",
    }),
    ...renames("mask_decoder\\.transformer\\.layers\\.\\d+", {
      norm1: "layer_norm1",
      norm2: "layer_norm2",
      norm3: "layer_norm3",
      norm4: "layer_norm4",
    }),
    // The transformer's own `.layers.N` must stay. 2 goes before 1: `layers.0` is a target name.
    ...renames("mask_decoder\\.(?:output_hypernetworks_mlps\\.\\d+|iou_prediction_head)", {
      "layers.0": "proj_in",
      "layers.2": "proj_out",
      "layers.1": "layers.0",
    }),
  ],
  { targets: [/^(shared_image_embedding|vision_encoder|prompt_encoder|mask_decoder)\./] },
);
