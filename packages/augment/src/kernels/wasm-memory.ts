import type { WasmMemoryObject } from "./web-assembly.js";

/** Bytes that kernels may read beyond a buffer. */
const SLACK = 64;
const PAGE = 65536;

interface Block {
  readonly address: number;
  readonly size: number;
}

/** Buffers in the memory of a WASM module: first fit, grown when full, never given back to the system. */
export class WasmMemory {
  readonly #memory: WasmMemoryObject;
  /** Below the first page lie the module's own data. */
  #end = PAGE;
  #free: Block[] = [];
  readonly #used = new Map<number, Block>();

  constructor(memory: WasmMemoryObject) {
    this.#memory = memory;
  }

  get buffer(): ArrayBuffer {
    return this.#memory.buffer;
  }

  /** Address of at least `bytes` bytes, aligned to 16, contents undefined. */
  allocate(bytes: number): number {
    const size = (bytes + SLACK + 15) & ~15;
    const at = this.#free.findIndex((block) => block.size >= size);
    let block: Block;
    if (at >= 0) {
      const found = this.#free[at]!;
      // A much larger one is split.
      if (found.size > 2 * size) {
        this.#free[at] = { address: found.address + size, size: found.size - size };
        block = { address: found.address, size };
      } else {
        this.#free.splice(at, 1);
        block = found;
      }
    } else {
      block = { address: this.#end, size };
      this.#end += size;
      const missing = this.#end - this.#memory.buffer.byteLength;
      if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    }
    this.#used.set(block.address, block);
    return block.address;
  }

  free(address: number): void {
    const block = this.#used.get(address);
    if (block === undefined) return;
    this.#used.delete(address);
    this.#free.push(block);
    // Neighbours become one again.
    this.#free.sort((a, b) => a.address - b.address);
    const merged: Block[] = [];
    for (const next of this.#free) {
      const last = merged.at(-1);
      if (last !== undefined && last.address + last.size === next.address) {
        merged[merged.length - 1] = { address: last.address, size: last.size + next.size };
      } else merged.push(next);
    }
    this.#free = merged;
  }

  /** Bytes in use: a test can see that nothing is lost. */
  get usedBytes(): number {
    let sum = 0;
    for (const { size } of this.#used.values()) sum += size;
    return sum;
  }
}
