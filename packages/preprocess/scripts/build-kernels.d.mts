/** The WebAssembly module of assembly/kernels.ts. */
export function compileKernels(): Promise<Buffer>;
