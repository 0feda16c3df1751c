import { constants } from "node:fs";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { writeAtomically } from "../write-atomically.js";
import { writeDataset } from "../write-dataset.js";
import type { Conversion } from "./conversion.js";

/**
 * Writes a conversion: each file whole or not at all, existing ones are replaced, never appended to. Pictures are copied byte for byte;
 * the originals are not touched.
 *
 * @param options.imagesDir - folder of the pictures; without it none are copied
 * @returns paths written, and the pictures that were not there
 */
export async function writeConversion(
  { files, images }: Conversion,
  directory: string,
  { imagesDir, signal }: { imagesDir?: string; signal?: AbortSignal } = {},
): Promise<{ written: string[]; missingImages: string[] }> {
  const root = resolve(directory);
  const written: string[] = [];
  for (const [path, content] of files) {
    signal?.throwIfAborted();
    const target = join(root, path);
    await mkdir(dirname(target), { recursive: true });
    if (typeof content === "string") await writeAtomically(target, (handle) => handle.writeFile(content));
    else await writeDataset(content, target);
    written.push(target);
  }
  const missingImages: string[] = [];
  if (imagesDir === undefined) return { written, missingImages };
  for (const { fileName, path } of images) {
    signal?.throwIfAborted();
    const source = resolve(imagesDir, fileName);
    const target = join(root, path);
    if (source === target) continue;
    await mkdir(dirname(target), { recursive: true });
    const temporary = join(dirname(target), `.${basename(target)}.tmp`);
    try {
      // A clone where the file system can, so that no space is taken twice.
      await copyFile(source, temporary, constants.COPYFILE_FICLONE);
      await rename(temporary, target);
      written.push(target);
    } catch (error) {
      await rm(temporary, { force: true });
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      missingImages.push(fileName);
    }
  }
  return { written, missingImages };
}
