/** What a model is for; CivitAI's and Hugging Face's own words are mapped onto these. */
export const MODEL_KINDS = [
  "checkpoint",
  "lora",
  "embedding",
  "textual_inversion",
  "control",
  "text_encoder",
  "restoration",
  "onnx",
  "dataset",
  "other",
] as const;
export type ModelKind = (typeof MODEL_KINDS)[number];

/** What hits can be ordered by. */
export const SORT_KEYS = ["relevance", "downloads", "likes", "updated", "created"] as const;
export type SortKey = (typeof SORT_KEYS)[number];
