import { Buffer } from "node:buffer";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/**
 * Reads `length` bytes at `position`; fewer only at the end of the source. The result starts a buffer of its own, so any typed array fits.
 */
export type ReadBytes = (position: number, length: number) => Uint8Array;

/** Opens a file (or takes bytes in memory) for the time of `use`. */
export type WithReader = <T>(use: (read: ReadBytes, size: number) => T) => T;

/** @param source - path, or the bytes of a file */
export function openBytes(source: string | Uint8Array): {
  readonly path: string | null;
  readonly withReader: WithReader;
} {
  if (typeof source !== "string") {
    // A copy: Buffer.slice would share memory at an unaligned offset.
    const read: ReadBytes = (at, length) => new Uint8Array(source.subarray(at, at + length));
    return { path: null, withReader: (use) => use(read, source.length) };
  }
  return {
    path: source,
    withReader: (use) => {
      const file = openSync(source, "r");
      try {
        return use((at, length) => readAt(file, at, length), fstatSync(file).size);
      } finally {
        closeSync(file);
      }
    },
  };
}

function readAt(file: number, position: number, length: number): Uint8Array {
  // Slow means: not from the shared pool. Not zeroed first, which would cost as much as reading from the page cache.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  let done = 0;
  while (done < length) {
    // One read call is limited to 2 GiB.
    const count = readSync(file, bytes, done, Math.min(length - done, 1 << 30), position + done);
    if (count === 0) return bytes.slice(0, done);
    done += count;
  }
  return bytes;
}
