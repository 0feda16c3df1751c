import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";

/** Bytes read of either end of an image. */
const ENDS = 4096;

/**
 * SHA-256 over the names, sizes and both ends (4 KiB) of a dataset's images: sees replaced and re-encoded images without reading
 * terabytes, and stays the same when files are copied or touched. Missing images count as missing.
 */
export async function imagesDigest({ images }: Pick<CocoDataset, "images">, imagesDir: string): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(ENDS);
  const names = images.map(({ file_name }) => file_name).sort();
  for (const name of names) {
    hash.update(`${name}\n`);
    const file = await open(join(imagesDir, name)).catch(() => null);
    if (file === null) {
      hash.update("missing\n");
      continue;
    }
    try {
      const { size } = await file.stat();
      hash.update(`${size}\n`);
      for (const at of new Set([0, Math.max(0, size - ENDS)])) {
        const { bytesRead } = await file.read(buffer, 0, ENDS, at);
        hash.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
  return hash.digest("hex");
}
