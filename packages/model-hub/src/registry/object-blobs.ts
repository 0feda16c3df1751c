import { join } from "node:path";
import { HubError } from "../errors.js";
import { FileObjectStore } from "../stores/file-object-store.js";
import type { BlobStore } from "./blob-store.js";
import type { CollectableStore } from "./collect-garbage.js";

/** The part of an `ObjectStore` that is used. */
export interface ObjectsLike {
  put(
    key: string,
    content: AsyncIterable<Uint8Array>,
    options?: { sha256?: string; ifAbsent?: boolean; metadata?: Readonly<Record<string, string>> },
  ): Promise<unknown>;
  get(key: string): Promise<{ readonly body: AsyncIterable<Uint8Array> }>;
  head(key: string): Promise<{ readonly bytes: number } | null>;
  list(prefix: string): AsyncIterable<{ readonly key: string; readonly bytes: number; readonly modifiedAt: string }>;
  delete(key: string): Promise<void>;
}

/** The registry's view of an object store, a folder or an S3-compatible server: content that is there already is no conflict. */
export function objectBlobs(objects: ObjectsLike): BlobStore & CollectableStore {
  return {
    async put(key, stream, options = {}) {
      if (options.ifAbsent === true && (await objects.head(key)) !== null) return;
      try {
        await objects.put(key, stream, options);
      } catch (error) {
        // Another process put the same content in between.
        const isThere = options.ifAbsent === true && HubError.isInstance(error) && error.code === "CONFLICT";
        if (!isThere) throw error;
      }
    },
    get: async (key) => (await objects.get(key)).body,
    async head(key) {
      const found = await objects.head(key);
      return found && { bytes: found.bytes };
    },
    async *list(prefix) {
      for await (const { key, bytes, modifiedAt } of objects.list(prefix)) {
        yield { key, bytes, modifiedMs: Date.parse(modifiedAt) };
      }
    },
    delete: (key) => objects.delete(key),
  };
}

/** Where a hub in the folder `root` keeps its blobs unless told otherwise: `<root>/objects`. */
export const folderBlobs = (root: string): BlobStore & CollectableStore =>
  objectBlobs(new FileObjectStore({ root: join(root, "objects") }));
