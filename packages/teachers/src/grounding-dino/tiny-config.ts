import { type GroundingDinoConfig, parseGroundingDinoConfig } from "./config.js";

/** Side of the square pictures that the small Grounding DINO was trained on, pixels: 4 * 32, so that no window is padded. */
export const TINY_GROUNDING_DINO_SIDE = 128;

/** The small Grounding DINO of this repository: all parts of the real one, 1.77 M parameters, 3.5 MB in half precision. */
export function tinyGroundingDinoConfig(): GroundingDinoConfig {
  return parseGroundingDinoConfig({
    model_type: "grounding-dino",
    backbone_config: {
      embed_dim: 32,
      depths: [1, 1, 2, 1],
      num_heads: [1, 2, 4, 8],
      window_size: 4,
      mlp_ratio: 2,
      image_size: TINY_GROUNDING_DINO_SIDE,
      out_indices: [2, 3, 4],
    },
    text_config: {
      vocab_size: 1200,
      hidden_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      intermediate_size: 128,
      max_position_embeddings: 64,
    },
    d_model: 64,
    num_queries: 50,
    encoder_layers: 2,
    encoder_ffn_dim: 128,
    encoder_attention_heads: 4,
    decoder_layers: 3,
    decoder_ffn_dim: 128,
    decoder_attention_heads: 4,
    max_text_len: 48,
  });
}
