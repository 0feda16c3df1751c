import * as nodeFs from "node:fs";
import { basename, dirname, join } from "node:path";

/** The file operations that writing needs; replaced in tests to simulate a full disk. */
export type WriteFileSystem = Pick<
  typeof nodeFs,
  "closeSync" | "fsyncSync" | "mkdirSync" | "openSync" | "readSync" | "renameSync" | "rmSync" | "statSync" | "writeSync"
>;

const TEMPORARY = /^\..+\.tmp-\d+-\d+$/;
/** Bytes per write call, so that a kill or a full disk also strikes inside a file. */
const CHUNK = 1 << 20;
let counter = 0;

/**
 * Writes `bytes` so that `path` holds its old content or all of the new one at any instant: temporary file in the same directory,
 * fsync, check of the length and the first bytes, rename, fsync of the directory. On failure the temporary file is removed.
 *
 * @param verifyBytes - how many leading bytes are read back before the rename
 */
export function writeFileDurably(
  path: string,
  bytes: Uint8Array,
  { fs = nodeFs, verifyBytes = 0 }: { fs?: WriteFileSystem; verifyBytes?: number } = {},
): void {
  const directory = dirname(path);
  fs.mkdirSync(directory, { recursive: true });
  const temporary = join(directory, `.${basename(path)}.tmp-${process.pid}-${counter++}`);
  try {
    const file = fs.openSync(temporary, "wx+");
    try {
      for (let at = 0; at < bytes.length; ) {
        at += fs.writeSync(file, bytes, at, Math.min(CHUNK, bytes.length - at));
      }
      fs.fsyncSync(file);
      const head = new Uint8Array(verifyBytes);
      if (verifyBytes > 0) fs.readSync(file, head, 0, verifyBytes, 0);
      if (head.some((byte, i) => byte !== bytes[i])) throw new Error("the file reads back differently");
    } finally {
      fs.closeSync(file);
    }
    const { size } = fs.statSync(temporary);
    if (size !== bytes.length) throw new Error(`the file holds ${size} bytes, expected ${bytes.length}`);
    fs.renameSync(temporary, path);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(directory, fs);
}

/** Makes renames and removals inside `directory` durable. */
export function syncDirectory(directory: string, fs: WriteFileSystem = nodeFs): void {
  // Directories cannot be opened for syncing on Windows, where the rename is durable by itself.
  if (process.platform === "win32") return;
  const handle = fs.openSync(directory, "r");
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/** Removes what an interrupted {@link writeFileDurably} left in `directory`; a leftover that cannot be removed is harmless and stays. */
export function removeStaleTemporaries(directory: string): void {
  for (const name of listDirectory(directory)) {
    if (!TEMPORARY.test(name)) continue;
    try {
      nodeFs.rmSync(join(directory, name), { force: true });
    } catch {
      // A read-only directory; writing will report it.
    }
  }
}

/** Names in `directory`; none when it is absent or no directory. */
export function listDirectory(directory: string): string[] {
  try {
    return nodeFs.readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

/** Appends `text` and waits until it is on disk. A crash may leave the beginning of `text`. */
export function appendDurably(path: string, text: string, fs: WriteFileSystem = nodeFs): void {
  const file = fs.openSync(path, "a");
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(file, bytes, at, bytes.length - at);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}
