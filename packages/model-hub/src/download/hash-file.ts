import { type FileHandle, open } from "node:fs/promises";
import { CHUNK_BYTES, FileDigester, type FileDigests } from "./file-digester.js";

/** Feeds bytes `[0, length)` of an open file to `digester`. Stops early with false when the file is shorter. */
export async function hashPrefix(
  file: FileHandle,
  length: number,
  digester: FileDigester,
  signal?: AbortSignal,
): Promise<boolean> {
  const pending = new Set<Promise<void>>();
  try {
    for (let at = 0; at < length; ) {
      signal?.throwIfAborted();
      const { index, bytes } = await digester.take();
      const { bytesRead } = await file.read(bytes, 0, Math.min(CHUNK_BYTES, length - at), at);
      if (bytesRead === 0) {
        digester.give(index);
        return false;
      }
      const hashed = digester.update(index, bytesRead).then(() => {
        digester.give(index);
        pending.delete(hashed);
      });
      pending.add(hashed);
      at += bytesRead;
    }
    return true;
  } finally {
    await Promise.all(pending);
  }
}

/**
 * Digests of a file on disk, in constant memory.
 * @example await hashFile({ path: "hello.txt" }) // sha256 5891b5b5... for "hello\n"
 */
export async function hashFile({
  path,
  md5 = false,
  gitSha1 = false,
  signal,
}: {
  path: string;
  md5?: boolean;
  gitSha1?: boolean;
  signal?: AbortSignal | undefined;
}): Promise<FileDigests & { bytes: number }> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const digester = new FileDigester({ md5, gitBytes: gitSha1 ? size : null, bytes: size });
    try {
      await hashPrefix(file, size, digester, signal);
      return { ...(await digester.digest()), bytes: size };
    } finally {
      await digester.close();
    }
  } finally {
    await file.close();
  }
}
