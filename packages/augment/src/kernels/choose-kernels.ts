import type { Kernels } from "./kernels.js";
import { typescriptKernels } from "./typescript-kernels.js";

export type Backend = "auto" | "typescript" | "wasm";

export function chooseKernels(_backend: Backend): Kernels {
  return typescriptKernels;
}
