/** Pixels that belong to one pipeline run; may lie in WASM memory. Interleaved uint8, row-major. */
export interface WorkImage {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Valid until the next call of a kernel: the memory may have moved. */
  readonly data: Uint8Array;
}

/** What kernels read; never written. */
export interface SourceImage {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}
