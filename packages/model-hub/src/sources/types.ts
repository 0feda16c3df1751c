import { z } from "zod";
import type { HubErrorCode } from "../errors.js";
import { MODEL_KINDS, type ModelKind, SORT_KEYS } from "./model-kinds.js";
import type { ModelRef, SourceName } from "./model-ref.js";

export type { ModelKind, SortKey } from "./model-kinds.js";

/** A search over one or several sources; unknown keys are refused, because hubs ignore unknown parameters silently. */
export const searchQuerySchema = z.strictObject({
  text: z.string().max(500).optional(),
  sources: z
    .array(z.enum(["hf", "civitai", "url", "local", "catalogue"]))
    .min(1)
    .optional(),
  kinds: z.array(z.enum(MODEL_KINDS)).min(1).optional(),
  task: z.string().max(100).optional(),
  baseModel: z.string().max(200).optional(),
  licence: z.string().max(100).optional(),
  owner: z.string().max(100).optional(),
  tags: z.array(z.string().max(100)).max(20).optional(),
  library: z.string().max(100).optional(),
  format: z.string().max(50).optional(),
  minDownloads: z.int().min(0).optional(),
  gated: z.boolean().optional(),
  nsfw: z.boolean().default(false),
  permissiveOnly: z.boolean().optional(),
  sort: z.enum(SORT_KEYS).default("relevance"),
  limit: z.int().min(1).max(1000).default(50),
  cursor: z.string().max(4000).optional(),
});
/** A search as it is asked; absent filters do not filter. */
export type SearchQueryInput = z.input<typeof searchQuerySchema>;
export type SearchQuery = z.output<typeof searchQuerySchema>;

/** A file as a hit lists it. */
export interface HitFile {
  readonly path: string;
  readonly bytes: number | null;
  readonly sha256: string | null;
}

/** What a source says about harm: a pickle scan, adult content. */
export interface ModelSafety {
  readonly nsfw: boolean;
  /** All listed weights are safetensors or ONNX. Null when the files are unknown. */
  readonly safeFormat: boolean | null;
  /** Result of the hub's scanner for pickles; null where there is none. */
  readonly pickleScan: string | null;
}

/** One model in search results, the same shape for every hub. Absent facts are null, never guessed. */
export interface ModelHit {
  readonly source: SourceName;
  /** Canonical: `hf:owner/name`, `civitai:<model>@<version>`, `url:<href>`, `local:<path>`, `catalogue:<id>`. */
  readonly id: string;
  readonly name: string;
  readonly kind: ModelKind;
  /** Every kind that fits: a CivitAI TextualInversion is an embedding too. Holds `kind`. */
  readonly kinds: readonly ModelKind[];
  readonly task: string | null;
  readonly baseModel: string | null;
  readonly licence: string | null;
  readonly downloads: number | null;
  readonly likes: number | null;
  /** 0 to 5. */
  readonly rating: number | null;
  readonly createdAt: string | null;
  readonly updatedAt: string | null;
  readonly gated: boolean;
  readonly owner: string | null;
  readonly library: string | null;
  readonly files: readonly HitFile[] | null;
  readonly tags: readonly string[];
  readonly safety: ModelSafety;
  /** AIR URN where the source has one. */
  readonly air: string | null;
  /** Ids of the same bytes elsewhere, after folding. */
  readonly origins: readonly string[];
}

/** A model as its source describes it now. */
export interface ModelInfo extends ModelHit {
  /** Commit or version id that the reference means now. */
  readonly revision: string;
  /** Page of the model, where conditions are accepted. */
  readonly page: string | null;
}

/** One file to fetch. Size and digests are null where the source does not state them. */
export interface ResolvedFile {
  /** Relative, `/` separated. */
  readonly path: string;
  readonly url: string;
  readonly bytes: number | null;
  readonly sha256: string | null;
  /** SHA-1 of `"blob <length>\0"` + bytes, as git names files. */
  readonly gitSha1: string | null;
  readonly md5: string | null;
  /** Hugging Face's chunk address; not a hash of the content. */
  readonly xetHash?: string | null;
  /** Result of the hub's scan of a pickle; null where there is none. */
  readonly pickleScan?: string | null;
  /** Says that an answer of type text/html or JSON is legitimate for this file. */
  readonly isText: boolean;
}

/** A reference pinned to one commit, with every file of it. */
export interface Resolution {
  /** Canonical id without revision. */
  readonly id: string;
  readonly ref: ModelRef;
  /** Commit or version id; every file is fetched from it. */
  readonly revision: string;
  /** Branch or tag that led to the revision; null when the revision itself was asked for. */
  readonly refName: string | null;
  readonly licence: string | null;
  readonly gated: boolean;
  readonly files: readonly ResolvedFile[];
  /** Whether `files` is the complete listing of the revision (worth keeping for offline checks). */
  readonly isCompleteListing: boolean;
  /** What a 401 or 403 for one of the files means here, and what to do; null when the status says it all. */
  readonly denied: {
    readonly code: HubErrorCode;
    readonly message: string;
    readonly details: Readonly<Record<string, unknown>>;
  } | null;
  readonly warnings: readonly string[];
}

export interface SourceOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A place that models come from. */
export interface ModelSource {
  readonly name: SourceName;
  /** Token for downloads from this source; sent to the origin of the file's URL only. */
  token(): string | null;
  /** Hits in the order of the query's sort key; stops when the consumer stops. */
  search(query: SearchQuery, options?: SourceOptions): AsyncIterable<ModelHit>;
  info(ref: ModelRef, options?: SourceOptions): Promise<ModelInfo>;
  /** All files of one revision. */
  resolve(ref: ModelRef, options?: SourceOptions): Promise<Resolution>;
}
