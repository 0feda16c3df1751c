import process from "node:process";
import { AugmentConfigError } from "../errors.js";
import type { Kernels } from "./kernels.js";
import { typescriptKernels } from "./typescript-kernels.js";
import { createWasmKernels } from "./wasm-kernels.js";

/** `auto` takes WASM where the engine has SIMD, else TypeScript. */
export type Backend = "auto" | "typescript" | "wasm";

/** One instance per process and thread: its memory is reused from call to call. Undefined until asked for. */
let wasm: Kernels | null | undefined;

/**
 * @throws AugmentConfigError for `wasm` on an engine without SIMD
 */
export function chooseKernels(backend: Backend): Kernels {
  if (backend === "typescript") return typescriptKernels;
  if (wasm === undefined) wasm = createWasmKernels();
  if (wasm !== null) return wasm;
  if (backend === "wasm") {
    throw new AugmentConfigError({
      path: "backend",
      message: `this engine (${process.version}) has no WebAssembly SIMD. Use backend: auto or typescript`,
    });
  }
  return typescriptKernels;
}
