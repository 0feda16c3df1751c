import { closeSync, openSync, writeSync } from "node:fs";

/** One write call takes less than 2 GiB on every platform. */
const STEP = 1 << 30;

/** Writes pieces to a new file, at once. */
export function writeChunks(path: string, chunks: readonly Uint8Array[]): void {
  const file = openSync(path, "wx");
  try {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; ) at += writeSync(file, chunk, at, Math.min(STEP, chunk.length - at));
    }
  } finally {
    closeSync(file);
  }
}
