import { parseSamConfig, type SamConfig } from "@seg/teachers";

/** MobileSAM's architecture at a size that a test can run. */
export const smallMobileSam = (imgsz: number): SamConfig =>
  parseSamConfig({
    vision_config: { image_size: imgsz, output_channels: 16, num_pos_feats: 8 },
    tiny_vit_config: {
      embed_dims: [8, 16, 16, 32],
      depths: [1, 1, 1, 1],
      num_heads: [1, 1, 2, 2],
      window_sizes: [7, 7, 4, 7],
    },
    prompt_encoder_config: { hidden_size: 16, mask_input_channels: 8 },
    mask_decoder_config: { hidden_size: 16, mlp_dim: 16, num_attention_heads: 2, iou_head_hidden_dim: 16 },
  });
