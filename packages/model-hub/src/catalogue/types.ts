/** One way to get a file's bytes. */
export interface CatalogueFile {
  /** Name on disk. */
  readonly name: string;
  /** Native publications, in order of trial. Empty for files that only a person can fetch. */
  readonly urls: readonly string[];
  readonly bytes: number | null;
  readonly sha256: string | null;
  readonly md5: string | null;
  /** Independent publications of the digest: two or more = pinned, one = pinned and labelled `confirm`, none = pinned on first fetch. */
  readonly sources: number;
}

/** What a catalogued model is for. */
export type CatalogueRole = "teacher" | "student" | "box-teacher" | "restoration" | "text_encoder";

/** How a model can be had: fetched, fetched after consent on its page, brought by hand, or not at all. */
export type Availability = "auto" | "gated" | "manual" | "none";

/** A model that the pipeline knows: the dual record of native checkpoint and Hugging Face repository. */
export interface CatalogueEntry {
  readonly id: string;
  readonly family: string;
  readonly variant: string;
  readonly role: CatalogueRole;
  /** Repository for a transformers-style loader: other bytes than the native file. */
  readonly hf_id: string | null;
  /** Files of `hf_id` that a loader needs, as shell patterns. */
  readonly hf_allow: readonly string[];
  /** Repository with ONNX files for Node. */
  readonly onnx_id: string | null;
  readonly manager_family: string;
  readonly manager_variant: string;
  readonly description: string;
  readonly files: readonly CatalogueFile[];
  readonly format: "pytorch" | "safetensors" | "onnx";
  /** "unknown" where no source states one. */
  readonly licence: string;
  /** Parameters, millions. */
  readonly paramsM: number | null;
  /** Inference memory, MB. */
  readonly vramMb: { readonly fp32: number; readonly bf16: number } | null;
  /** COCO box or mask AP as published, percent; its meaning is in `description`. */
  readonly publishedAp: number | null;
  readonly availability: Availability;
  /** Another entry that does the same work, for `none`. */
  readonly replacedBy: string | null;
}

/** `confirm` marks a digest that only one publication states. */
export type Confidence = "pinned" | "confirm" | "pin-on-first-fetch";

/** How far a digest can be trusted. */
export function confidenceOf({ sha256, md5, sources }: CatalogueFile): Confidence {
  if (sha256 === null && md5 === null) return "pin-on-first-fetch";
  return sources >= 2 ? "pinned" : "confirm";
}
