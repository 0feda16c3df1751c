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

/** An object in a picture. */
export interface PredictedInstance {
  /** Class index of the model. */
  readonly class_id: number;
  readonly name: string;
  /** 0..1 */
  readonly score: number;
  /** x, y, width, height in pixels of the picture. */
  readonly bbox: readonly [number, number, number, number];
  /** Compressed RLE of COCO, in pixels of the picture; absent for models without masks. */
  readonly segmentation?: { readonly size: readonly [number, number]; readonly counts: string };
}

/** What the HTTP API needs to run registered models. */
export interface PredictorPort {
  /**
   * Runs a version on a picture.
   * @param request.version - @defaultValue the active one
   * @param request.image - path of the picture
   * @throws HubError NO_ACTIVE_VERSION, NOT_FOUND, INVALID_STATE for a version that cannot be run, UNSUPPORTED_TYPE for what is no picture, and
   *   those of the model pool
   */
  predict(request: {
    readonly model: string;
    readonly version?: string;
    readonly image: string;
    readonly confidence?: number;
    readonly iou?: number;
  }): Promise<{
    readonly version: string;
    readonly width: number;
    readonly height: number;
    /** From picture to objects, without loading the model. */
    readonly milliseconds: number;
    readonly instances: readonly PredictedInstance[];
  }>;
}
