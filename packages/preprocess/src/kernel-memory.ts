import type { RgbImage } from "@seg/coco-dataset";
import type { SimdKernels } from "./simd-kernels.js";

/** Beyond this a resize (a million rows into one) goes the plain way, whose intermediate is an ordinary array. */
export const MEMORY_LIMIT = 64 * 2 ** 20;
/** Output rows per block, so that a call into WebAssembly does enough and the block stays in the cache. */
export const BLOCK_ROWS = 16;
/** The kernels read and write whole vectors. */
export const SLACK = 32;
/** Source rows copied at a time: they stay in the second-level cache until the horizontal pass has read them. */
const CHUNK_BYTES = 256 * 1024;
const PAGE = 65_536;

/** Up to the next multiple of 16. */
export const align = (bytes: number): number => (bytes + 15) & ~15;

/** Hands out addresses in the kernels' memory; nothing outlives a resize. */
export class Arena {
  readonly #kernels: SimdKernels;
  #next = 1024;
  constructor(kernels: SimdKernels) {
    this.#kernels = kernels;
  }
  take(bytes: number): number {
    const address = this.#next;
    this.#next = align(address + bytes + SLACK);
    return address;
  }
  /** After the last `take`: views are of the memory as it then is. */
  bytes(): Uint8Array {
    const { memory } = this.#kernels;
    const missing = this.#next - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    return new Uint8Array(memory.buffer);
  }
  get size(): number {
    return this.#next;
  }
}

/** Source rows that are copied at a time. */
export function chunkRowsOf({ width, height }: RgbImage): number {
  return Math.max(1, Math.min(height, Math.floor(CHUNK_BYTES / (width * 3))));
}

/** Rows that a block of outputs needs at most, each output reading `reach` of them. */
export function windowRowsOf(inHeight: number, outHeight: number, reach: number): number {
  const advance = Math.ceil((Math.min(BLOCK_ROWS, outHeight) * inHeight) / outHeight);
  return Math.min(inHeight, reach + advance + 2);
}

/**
 * Moves a window of horizontally resized rows down an image: for each block of output rows the rows that it still needs are kept, the
 * missing ones are made, then the block is finished.
 */
export function slideWindow({
  bytes,
  window,
  stride,
  height,
  chunkRows,
  firstOf,
  endOf,
  make,
  finish,
}: {
  bytes: Uint8Array;
  /** Address of the window and bytes per row. */
  window: number;
  stride: number;
  /** Output rows. */
  height: number;
  chunkRows: number;
  /** Input rows [firstOf, endOf) of an output row; both ascend. */
  firstOf: (y: number) => number;
  endOf: (y: number) => number;
  /** Makes input rows [row, row + count) at an address. */
  make: (row: number, count: number, address: number) => void;
  /** Output rows [y, y + rows); input row r lies at `addressOf(r)`. */
  finish: (y: number, rows: number, addressOf: (row: number) => number) => void;
}): void {
  let from = firstOf(0);
  let to = from;
  const addressOf = (row: number) => window + (row - from) * stride;
  for (let y = 0; y < height; y += BLOCK_ROWS) {
    const rows = Math.min(BLOCK_ROWS, height - y);
    const first = firstOf(y);
    if (first > from) {
      const kept = Math.max(0, to - first);
      if (kept > 0) bytes.copyWithin(window, addressOf(first), addressOf(to));
      from = first;
      to = first + kept;
    }
    const end = endOf(y + rows - 1);
    while (to < end) {
      const count = Math.min(chunkRows, end - to);
      make(to, count, addressOf(to));
      to += count;
    }
    finish(y, rows, addressOf);
  }
}
