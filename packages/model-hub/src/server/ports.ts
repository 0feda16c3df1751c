import type { ModelHit, SearchQuery } from "../sources/types.js";

/** A source that did not answer while others did. */
export interface SearchWarning {
  readonly source: string;
  readonly code: string;
  readonly message: string;
}

/** Facts as a port has them; sent with snake_case keys. */
export type Facts = { readonly [key: string]: unknown };

/** What the HTTP API needs of sources, catalogue and SAM manager. */
export interface HubPort {
  /** @throws HubError SOURCE_UNAVAILABLE when no source answers */
  search(
    query: SearchQuery,
    options?: { signal?: AbortSignal },
  ): Promise<{
    readonly hits: readonly ModelHit[];
    readonly warnings: readonly SearchWarning[];
    readonly nextCursor: string | null;
  }>;
  /** Entries with `id`, `family`, `licence`, `files` and more. */
  catalogue(): readonly Facts[];
  /** State of one entry or of all: absent, partial, installed, corrupt. @throws HubError NOT_FOUND */
  status(id?: string): Promise<readonly Facts[]>;
}

/** What the HTTP API needs of layers. */
export interface LayersPort {
  /** Each with `layer`, `purpose`, `tasks` and `models`. */
  list(): Promise<readonly Facts[]>;
  /** A verified local path. @throws HubError NOT_FOUND */
  resolve(layer: string, question: { task?: string; model?: string }): Promise<Facts>;
  /** Stores a local file as a model of the layer. @throws HubError CONFLICT, INTEGRITY, NOT_FOUND */
  push(
    layer: string,
    file: { readonly path: string; readonly fileName: string },
    metadata: Facts,
    options: { actor: string; signal?: AbortSignal },
  ): Promise<Facts & { readonly skipped: boolean }>;
}
