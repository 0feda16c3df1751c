/** Buffers that their users gave back, for the next inputs. Clearing and faulting in 12 MB costs more than resizing into it. */
export interface BufferPool {
  /** float32 or uint8 values of any content: every one must be written. */
  take(type: "float32" | "uint8", length: number): Float32Array | Uint8Array;
  /** From here on the buffer belongs to the pool. */
  give(buffer: ArrayBuffer): void;
  /** Removes up to `count` buffers, for another thread. */
  drain(count: number): ArrayBuffer[];
}

/** Sizes are rounded up, so that inputs of similar size (Grounding DINO's) can follow each other. */
const GRANULE = 256 * 1024;
/** More than are in use at a time would only occupy memory. */
const MAX_BUFFERS = 16;

/** Memory as the allocator hands it out, in a buffer of its own. */
function uninitialised(bytes: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer;
}

/** uint8 values of any content, every one of which must be written. */
export function uninitialisedBytes(length: number): Uint8Array {
  return new Uint8Array(uninitialised(length));
}

/** float32 values of any content, every one of which must be written. */
export function uninitialisedFloats(length: number): Float32Array {
  return new Float32Array(uninitialised(length * 4));
}

/** An empty pool. */
export function createBufferPool(): BufferPool {
  const buffers: ArrayBuffer[] = [];
  return {
    take(type, length) {
      const bytes = type === "float32" ? length * 4 : length;
      // The smallest that fits, and none that would waste more than it holds.
      let best = -1;
      buffers.forEach(({ byteLength }, i) => {
        if (byteLength < bytes || byteLength > 2 * bytes + GRANULE) return;
        if (best < 0 || byteLength < buffers[best]!.byteLength) best = i;
      });
      const buffer = best >= 0 ? buffers.splice(best, 1)[0]! : uninitialised(Math.ceil(bytes / GRANULE) * GRANULE);
      return type === "float32" ? new Float32Array(buffer, 0, length) : new Uint8Array(buffer, 0, length);
    },
    give(buffer) {
      if (buffer.byteLength === 0 || buffers.includes(buffer)) return;
      if (buffers.length >= MAX_BUFFERS) buffers.shift();
      buffers.push(buffer);
    },
    drain: (count) => buffers.splice(0, count),
  };
}
