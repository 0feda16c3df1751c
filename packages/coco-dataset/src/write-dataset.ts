import type { FileHandle } from "node:fs/promises";
import type { CocoDataset } from "./document.js";
import { writeAtomically } from "./write-atomically.js";

/** Array elements serialised per write: bounds the text held in memory. */
const CHUNK = 4096;

/**
 * Writes a document as JSON: key order and unknown keys kept, integers as integers. The file appears whole or not at all (temporary file
 * in the same directory, fsync, rename) and replaces an existing one.
 *
 * @throws TypeError when a value cannot be JSON
 */
export async function writeDataset(dataset: CocoDataset, path: string): Promise<void> {
  await writeAtomically(path, (handle) => writeDocument(handle, dataset));
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
