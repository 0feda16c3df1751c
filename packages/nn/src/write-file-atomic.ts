import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";

let counter = 0;

/**
 * Writes `chunks` so that `path` holds either its old content or all of the new one, also after a crash: temporary file in the same
 * directory, fsync, rename, fsync of the directory. The directory is created. On failure the temporary file is removed and `path` is untouched; the error's `path` names it.
 */
export function writeFileAtomic(path: string, chunks: Iterable<Uint8Array>): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true });
  const temporary = join(directory, `.${basename(path)}.tmp-${process.pid}-${counter++}`);
  try {
    const file = openSync(temporary, "wx");
    try {
      for (const chunk of chunks) {
        for (let at = 0; at < chunk.length; ) at += writeSync(file, chunk, at, chunk.length - at);
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    // Writing to an open file fails without a name (a full disk), opening fails with the temporary one.
    throw error instanceof Error ? Object.assign(error, { path }) : error;
  }
  // Directories cannot be opened for syncing on Windows, where the rename is durable by itself.
  if (process.platform === "win32") return;
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
