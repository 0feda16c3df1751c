import { expandBraces } from "../expand-braces.js";

const ATTENTION = "mask_decoder.transformer.**.{q,k,v,out}_proj";
const MLPS = "mask_decoder.transformer.layers.*.mlp.{lin1,lin2}";
const ENCODER = "vision_encoder.layers.*";

/** Named sets of adapted layers, those of the decoder smallest first; adapters in the encoder make image embeddings change with every step, so they are not cached. */
export const SAM_PRESETS = {
  /** Self attention of the decoder, without its output. */
  "decoder-self": ["mask_decoder.transformer.layers.*.self_attn.{q,k,v}_proj"],
  "decoder-self-out": ["mask_decoder.transformer.layers.*.self_attn.{q,k,v,out}_proj"],
  /** Every attention of the decoder. */
  "decoder-attn": [ATTENTION],
  /** And its MLPs. */
  "decoder-attn-mlp": [ATTENTION, MLPS],
  /** And what turns its tokens into masks and an IoU. */
  "decoder-all-linear": [
    ATTENTION,
    MLPS,
    "mask_decoder.output_hypernetworks_mlps.*.{proj_in,layers.0,proj_out}",
    "mask_decoder.iou_prediction_head.{proj_in,layers.0,proj_out}",
  ],
  "encoder-qkv": [`${ENCODER}.attn.qkv`],
  "encoder-attn": [`${ENCODER}.attn.{qkv,proj}`],
  /** And the MLPs of encoder and decoder: what the names qkv, proj, lin1 and lin2 find. */
  "encoder-attn-mlp": [`${ENCODER}.attn.{qkv,proj}`, `${ENCODER}.mlp.{lin1,lin2}`, MLPS],
} as const satisfies Record<string, readonly string[]>;

/** Names of the sets of layers that get adapters. */
export type SamPreset = keyof typeof SAM_PRESETS;

/**
 * The preset as `targetModules`: one glob per name, braces resolved.
 * @example samTargets("decoder-self").length // 3
 */
export function samTargets(preset: SamPreset): string[] {
  return SAM_PRESETS[preset].flatMap(expandBraces);
}
