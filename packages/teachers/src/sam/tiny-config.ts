import { parseSamConfig, type SamConfig } from "./config.js";

/** SAM networks small enough to be pre-trained on a CPU: 128 px, 16 x 16 tokens, mask logits 64 x 64. */
export type SamVariant = "small" | "g";

const WIDTHS = {
  /** 548,482 parameters, 1.1 MB in fp16. */
  small: { hidden: 96, vision: 192, neck: 64, mlp: 128 },
  /** 1,383,386 parameters, 2.8 MB in fp16; ahead of `small` per CPU-minute. */
  g: { hidden: 128, vision: 256, neck: 128, mlp: 256 },
} as const;

/** Configuration of a small SAM; real architecture, only the sizes differ. */
export function tinySamConfig(variant: SamVariant): SamConfig {
  const { hidden, vision, neck, mlp } = WIDTHS[variant];
  return parseSamConfig({
    vision_config: {
      hidden_size: hidden,
      output_channels: neck,
      num_hidden_layers: 4,
      num_attention_heads: 4,
      image_size: 128,
      patch_size: 8,
      window_size: 4,
      global_attn_indexes: [1, 3],
      num_pos_feats: neck / 2,
      mlp_dim: vision,
    },
    prompt_encoder_config: { hidden_size: neck, mask_input_channels: 8 },
    mask_decoder_config: { hidden_size: neck, mlp_dim: mlp, num_attention_heads: 4, iou_head_hidden_dim: neck },
  });
}
