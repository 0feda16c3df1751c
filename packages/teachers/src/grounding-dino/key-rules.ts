import { KeyMap, type KeyRule } from "@seg/nn";

/**
 * Files of `transformers`: index tables are recomputed, and releases 5.x save one LayerNorm behind the backbone that nothing reads.
 */
const HUGGING_FACE_RULES: readonly KeyRule[] = [
  { match: /\.relative_position_index$/, drop: true },
  { match: /^model\.backbone\.conv_encoder\.model\.(swin\.)?layernorm\.(weight|bias)$/, drop: true },
  { match: /^model\.text_backbone\.embeddings\.position_ids$/, drop: true },
];

/** From the keys of a Hugging Face checkpoint to those of `GroundingDino`. */
export const huggingFaceKeys = new KeyMap(HUGGING_FACE_RULES);
