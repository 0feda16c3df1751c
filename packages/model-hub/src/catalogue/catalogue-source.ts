import { HubError } from "../errors.js";
import type { ModelHit, ModelInfo, ModelKind, ModelSource } from "../sources/types.js";
import { catalogue } from "./catalogue.js";
import type { CatalogueEntry } from "./types.js";

const kindOf = ({ role, format }: CatalogueEntry): ModelKind =>
  role === "restoration"
    ? "restoration"
    : role === "text_encoder"
      ? "text_encoder"
      : format === "onnx"
        ? "onnx"
        : "checkpoint";

const TASK = {
  teacher: "mask-generation",
  student: "image-segmentation",
  "box-teacher": "zero-shot-object-detection",
  restoration: "image-to-image",
  text_encoder: "feature-extraction",
} as const;

export function hitOfEntry(entry: CatalogueEntry): ModelHit {
  const kind = kindOf(entry);
  return {
    source: "catalogue",
    id: `catalogue:${entry.id}`,
    name: entry.id,
    kind,
    kinds: [kind],
    task: TASK[entry.role],
    baseModel: null,
    licence: entry.licence === "unknown" ? null : entry.licence,
    downloads: null,
    likes: null,
    rating: null,
    createdAt: null,
    updatedAt: null,
    gated: entry.availability === "gated",
    owner: null,
    library: null,
    files: entry.files.map(({ name, bytes, sha256 }) => ({ path: name, bytes, sha256 })),
    tags: [entry.family, entry.role],
    safety: { nsfw: false, safeFormat: entry.format !== "pytorch", pickleScan: null },
    air: null,
    origins: [],
  };
}

/** The built-in catalogue as a source of search results; installing is the model manager's business. */
export const catalogueSource: ModelSource = {
  name: "catalogue",
  token: () => null,
  async *search({ text }) {
    const words = (text ?? "")
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "");
    for (const entry of catalogue.entries) {
      const subject = `${entry.id} ${entry.family} ${entry.variant} ${entry.description}`.toLowerCase();
      if (words.every((word) => subject.includes(word))) yield hitOfEntry(entry);
    }
  },
  async info(ref): Promise<ModelInfo> {
    if (ref.source !== "catalogue")
      throw new HubError({ code: "INVALID_REQUEST", message: "This is no catalogue id." });
    return { ...hitOfEntry(catalogue.get(ref.id)), revision: "catalogue", page: null };
  },
  async resolve(ref) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `${ref.source === "catalogue" ? ref.id : "This"} is installed by SamModelManager.ensure, which knows its sources and fallbacks.`,
    });
  },
};
