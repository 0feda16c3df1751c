/** Of WebAssembly, and a multiple of every processor's page. */
const PAGE_BYTES = 1 << 16;

/** As far as it is used here; types of Node 20 leave it out. */
interface WebAssemblyMemories {
  readonly Memory: new (size: {
    initial: number;
    maximum: number;
    shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
}

/**
 * Shared memory that begins at a page, as writes past the page cache demand. JavaScript cannot ask where a buffer lies; the memory of
 * WebAssembly always begins at a page.
 *
 * @param bytes - rounded up to 64 KiB
 */
export function pageAlignedMemory(bytes: number): SharedArrayBuffer {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyMemories };
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
  } catch (error) {
    // It reserves gigabytes of addresses, which a limit on them (ulimit -v) may refuse. Any other memory does, only slower.
    if (error instanceof RangeError) return new SharedArrayBuffer(pages * PAGE_BYTES);
    throw error;
  }
}
