// Generated from assembly/kernels.ts by scripts/generate.mjs (AssemblyScript, 54 bytes). Do not edit.
export const KERNELS_WASM = "AGFzbQEAAAABBQFgAAF/AwIBAAUDAQAABxQCB25vdGhpbmcAAAZtZW1vcnkCAAoGAQQAQQAL";
