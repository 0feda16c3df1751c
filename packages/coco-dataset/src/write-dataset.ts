import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { CocoDataset } from "./document.js";

/** Array elements serialised per write: bounds the text held in memory. */
const CHUNK = 4096;

/**
 * Writes a document as JSON: key order and unknown keys kept, integers as integers. The file appears whole or not at all (temporary file
 * in the same directory, fsync, rename) and replaces an existing one.
 *
 * @throws TypeError when a value cannot be JSON
 */
export async function writeDataset(dataset: CocoDataset, path: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  let handle: FileHandle | null = null;
  try {
    handle = await open(temporary, "wx");
    await writeDocument(handle, dataset);
    await handle.sync();
    await handle.close();
    handle = null;
    await rename(temporary, path);
  } catch (error) {
    await handle?.close();
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeDocument(handle: FileHandle, dataset: CocoDataset): Promise<void> {
  let separator = "{";
  for (const [key, value] of Object.entries(dataset)) {
    if (value === undefined) continue;
    await handle.writeFile(`${separator}${JSON.stringify(key)}:`);
    separator = ",\n";
    if (!Array.isArray(value)) {
      await handle.writeFile(JSON.stringify(value));
      continue;
    }
    await handle.writeFile("[");
    for (let start = 0; start < value.length; start += CHUNK) {
      const text = value.slice(start, start + CHUNK).map((item) => JSON.stringify(item));
      await handle.writeFile((start === 0 ? "\n" : ",\n") + text.join(",\n"));
    }
    await handle.writeFile("]");
  }
  await handle.writeFile(separator === "{" ? "{}\n" : "}\n");
}
