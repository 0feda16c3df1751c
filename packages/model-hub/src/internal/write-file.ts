import { randomBytes } from "node:crypto";
import { type FileHandle, link, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Makes renames inside `directory` durable. `@seg/nn` and `@seg/train` have synchronous relatives of these two functions, but importing
 * those packages loads tfjs, which a hub that only moves files must not need.
 */
export async function syncDirectory(directory: string): Promise<void> {
  // Directories cannot be opened for syncing on Windows, where the rename is durable by itself.
  if (process.platform === "win32") return;
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A name beside `path` that no other writer uses. */
export const temporaryBeside = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${randomBytes(4).toString("hex")}.tmp`);

/**
 * Writes `content` so that `path` holds its old content or all of the new one at any instant: temporary file, fsync, rename, fsync of the
 * folder. The folder is made.
 *
 * @param temporary - where the new content is written first, on the same file system; another folder where whoever lists this one must not
 * meet what a killed writer left
 * @returns false when `ifAbsent` is set and `path` exists; nothing changes then
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  { ifAbsent = false, temporary = temporaryBeside(path) }: { ifAbsent?: boolean; temporary?: string } = {},
): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true });
  let file: FileHandle | null = await open(temporary, "wx");
  try {
    await file.writeFile(content);
    await file.sync();
    await file.close();
    file = null;
    if (ifAbsent) {
      try {
        await link(temporary, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
        throw error;
      }
    } else {
      await rename(temporary, path);
    }
  } finally {
    await file?.close();
    // After a rename there is nothing left to remove.
    await rm(temporary, { force: true });
  }
  await syncDirectory(dirname(path));
  return true;
}
