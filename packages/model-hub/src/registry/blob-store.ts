/** The part of an object store that the registry needs; every `ObjectStore` is one. */
export interface BlobStore {
  /** Verifies `sha256` while streaming. With `ifAbsent`, an existing object stays as it is. */
  put(
    key: string,
    stream: AsyncIterable<Uint8Array>,
    options?: { sha256?: string; ifAbsent?: boolean; metadata?: Readonly<Record<string, string>> },
  ): Promise<unknown>;
  get(key: string): Promise<AsyncIterable<Uint8Array>>;
  /** Null when absent. */
  head(key: string): Promise<{ readonly bytes: number } | null>;
  delete(key: string): Promise<void>;
}

export { blobKey } from "../stores/object-store.js";

/** Where a version's manifest lies: what garbage collection starts from. */
export const manifestKey = (model: string, version: string): string => `manifests/${model}/${version}.json`;
