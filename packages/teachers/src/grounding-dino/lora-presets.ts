import { expandBraces } from "../expand-braces.js";

/** Named sets of adapted layers, smallest first; the names are those of the specification. */
export const GROUNDING_DINO_PRESETS = {
  /** Self attention of the decoder. */
  "decoder-self": ["model.decoder.layers.*.self_attn.{query,key,value,out_proj}"],
  /** And of the text enhancer. */
  "self-attn": [
    "model.decoder.layers.*.self_attn.{query,key,value,out_proj}",
    "model.encoder.layers.*.text_enhancer_layer.self_attn.{query,key,value,out_proj}",
  ],
  /** Every attention of the decoder, without the places it looks at. */
  "decoder-attn": [
    "model.decoder.layers.*.self_attn.{query,key,value,out_proj}",
    "model.decoder.layers.*.encoder_attn_text.{query,key,value,out_proj}",
    "model.decoder.layers.*.encoder_attn.{value_proj,output_proj}",
  ],
  /** And its feed-forward layers. */
  "decoder-full": [
    "model.decoder.layers.*.self_attn.{query,key,value,out_proj}",
    "model.decoder.layers.*.encoder_attn_text.{query,key,value,out_proj}",
    "model.decoder.layers.*.encoder_attn.{value_proj,output_proj}",
    "model.decoder.layers.*.{fc1,fc2}",
  ],
  /** Encoder and decoder: attention without keys, fusion, feed-forward. */
  "neck-full": [
    "model.encoder.layers.*.text_enhancer_layer.self_attn.{query,value,out_proj}",
    "model.encoder.layers.*.text_enhancer_layer.{fc1,fc2}",
    "model.encoder.layers.*.fusion_layer.attn.{vision_proj,text_proj,values_vision_proj,values_text_proj,out_vision_proj,out_text_proj}",
    "model.encoder.layers.*.deformable_layer.self_attn.{value_proj,output_proj}",
    "model.encoder.layers.*.deformable_layer.{fc1,fc2}",
    "model.decoder.layers.*.{self_attn,encoder_attn_text}.{query,value,out_proj}",
    "model.decoder.layers.*.encoder_attn.{value_proj,output_proj}",
    "model.decoder.layers.*.{fc1,fc2}",
  ],
} as const satisfies Record<string, readonly string[]>;

/** Names of the sets of layers that get adapters. */
export type GroundingDinoPreset = keyof typeof GROUNDING_DINO_PRESETS;

/**
 * The preset as `targetModules`: one glob per name, braces resolved.
 * @example groundingDinoTargets("decoder-self").length // 4
 */
export function groundingDinoTargets(preset: GroundingDinoPreset): string[] {
  return GROUNDING_DINO_PRESETS[preset].flatMap(expandBraces);
}
