import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { HubError } from "../errors.js";
import { mapConcurrent } from "../internal/map-concurrent.js";
import { type BlobStore, blobKey } from "./blob-store.js";
import type { RegisterFile, VersionFile } from "./types.js";

/** Reads of one file overlap writes of another; more only fills the queue of one disk. */
const CONCURRENCY = 2;

function read(file: RegisterFile): AsyncIterable<Uint8Array> | null {
  if ("source" in file) return createReadStream(file.source, { highWaterMark: 1 << 20 });
  if ("content" in file) {
    const { content } = file;
    return (async function* () {
      yield content;
    })();
  }
  return null;
}

/** SHA-256, MD5 and length of what a stream yields. */
export async function digest(
  stream: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<{ sha256: string; md5: string; bytes: number }> {
  const sha256 = createHash("sha256");
  const md5 = createHash("md5");
  let bytes = 0;
  for await (const chunk of stream) {
    signal?.throwIfAborted();
    sha256.update(chunk);
    md5.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: sha256.digest("hex"), md5: md5.digest("hex"), bytes };
}

/**
 * Hashes the files and puts them into the store under their digests; the store checks the digest again, so that a file that changes in
 * between is refused. Declared digests are looked up.
 * @returns the files and whether every blob is there
 */
export async function storeFiles({
  files,
  store,
  signal,
}: {
  files: readonly RegisterFile[];
  store: BlobStore;
  signal?: AbortSignal | undefined;
}): Promise<{
  files: VersionFile[];
  complete: boolean;
}> {
  let complete = true;
  const stored = await mapConcurrent(files, CONCURRENCY, async (file): Promise<VersionFile> => {
    signal?.throwIfAborted();
    const first = read(file);
    if (first === null) {
      const declared = file as VersionFile;
      const found = await store.head(blobKey(declared.sha256));
      if (found === null) complete = false;
      else if (found.bytes !== declared.bytes) {
        throw new HubError({
          code: "INTEGRITY",
          message: `${file.path} is declared with ${declared.bytes} bytes, its blob ${declared.sha256} has ${found.bytes}. Nothing was registered.`,
          details: { path: file.path, declared: declared.bytes, found: found.bytes },
        });
      }
      return { path: file.path, sha256: declared.sha256, md5: declared.md5, bytes: declared.bytes };
    }
    const { sha256, md5, bytes } = await digest(first, signal);
    await store.put(blobKey(sha256), read(file)!, {
      sha256,
      ifAbsent: true,
      metadata: { sha256, md5, size: String(bytes) },
    });
    return { path: file.path, sha256, md5, bytes };
  });
  return { files: stored, complete };
}
