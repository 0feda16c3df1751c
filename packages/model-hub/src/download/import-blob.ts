import { createReadStream } from "node:fs";
import type { CacheFolder } from "../cache/cache-folder.js";
import type { HubClock } from "../internal/clock.js";
import { type Expectation, findMismatch, integrityError } from "./expectation.js";
import { CHUNK_BYTES, FileDigester, type FileDigests } from "./file-digester.js";
import { PartialFile } from "./partial-file.js";

/**
 * Puts a stream (a local file, an object of a store) into a cache folder under its SHA-256, verified while it passes.
 * @throws {@link HubError} `INTEGRITY` when it is not what was expected; nothing is published then
 */
export async function importBlob({
  content,
  name,
  folder,
  expected,
  md5 = false,
  clock,
  signal,
}: {
  content: AsyncIterable<Uint8Array>;
  name: string;
  folder: CacheFolder;
  expected: Expectation;
  md5?: boolean;
  clock: HubClock;
  signal?: AbortSignal | undefined;
}): Promise<FileDigests & { etag: string; bytes: number }> {
  await folder.prepare();
  // A stream cannot be resumed, so the name never meets an older partial file.
  const partial = await PartialFile.open({
    directory: folder.blobs,
    name: `import-${expected.sha256 ?? "stream"}`,
    clock,
  });
  const digester = new FileDigester({ md5: md5 || expected.md5 !== null, gitBytes: null, bytes: expected.bytes });
  let isOpen = true;
  try {
    await partial.truncate();
    let bytes = 0;
    for await (const piece of content) {
      for (let at = 0; at < piece.length; at += CHUNK_BYTES) {
        signal?.throwIfAborted();
        const part = piece.subarray(at, at + CHUNK_BYTES);
        const chunk = await digester.take();
        chunk.bytes.set(part);
        await Promise.all([
          partial.write(chunk.bytes.subarray(0, part.length), bytes),
          digester.update(chunk.index, part.length),
        ]);
        digester.give(chunk.index);
        bytes += part.length;
      }
    }
    const digests = { ...(await digester.digest()), bytes };
    const mismatch = findMismatch({ ...expected, gitSha1: null }, digests);
    if (mismatch !== null) throw integrityError(name, mismatch);
    isOpen = false;
    await partial.publish(folder.blobPath(digests.sha256));
    return { ...digests, etag: digests.sha256 };
  } finally {
    if (isOpen) await partial.discard();
    await digester.close();
  }
}

/** The pieces of a file. */
export const readPieces = (path: string): AsyncIterable<Uint8Array> =>
  createReadStream(path, { highWaterMark: CHUNK_BYTES });
