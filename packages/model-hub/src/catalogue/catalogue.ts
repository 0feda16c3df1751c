import { HubError } from "../errors.js";
import { CATALOGUE } from "./entries.js";
import type { CatalogueEntry, CatalogueRole } from "./types.js";

/** The known models. */
export const catalogue = {
  entries: CATALOGUE,

  list({
    role,
    family,
  }: {
    role?: CatalogueRole | undefined;
    family?: string | undefined;
  } = {}): readonly CatalogueEntry[] {
    return CATALOGUE.filter(
      (entry) => (role === undefined || entry.role === role) && (family === undefined || entry.family === family),
    );
  },

  /** The entry of an id, of a Hugging Face repository, or of the last part of its name (`sam-vit-base`) where that names one entry; else null. */
  find(name: string): CatalogueEntry | null {
    const entry = CATALOGUE.find((candidate) => candidate.id === name);
    if (entry !== undefined) return entry;
    const same = CATALOGUE.filter(
      ({ hf_id }) => hf_id !== null && (hf_id === name || hf_id.split("/").at(-1) === name),
    );
    return same.length === 1 ? same[0]! : null;
  },

  /** {@link catalogue.find}. @throws {@link HubError} `NOT_FOUND`, naming ids that look alike */
  get(id: string): CatalogueEntry {
    const entry = this.find(id);
    if (entry !== null) return entry;
    const word = id.toLowerCase().replace(/[^a-z0-9]/g, "");
    const alike = CATALOGUE.filter((candidate) => {
      const other = candidate.id.replace(/[^a-z0-9]/g, "");
      return other.includes(word) || word.includes(other) || candidate.family === id;
    }).map((candidate) => candidate.id);
    throw new HubError({
      code: "NOT_FOUND",
      message: `The catalogue has no model "${id}".${alike.length > 0 ? ` Did you mean ${alike.slice(0, 5).join(", ")}?` : " See seg-hub models list."}`,
      details: { id, alike },
    });
  },
} as const;
