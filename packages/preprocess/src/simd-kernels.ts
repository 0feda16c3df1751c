import { KERNELS_WASM } from "./kernels-wasm.js";

/** What is used of the global `WebAssembly`, whose types would come with the DOM library. */
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

/** The exports of assembly/kernels.ts; every argument is a byte address, a byte count or a count. */
export interface SimdKernels {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  pillowHorizontal(
    src: number,
    srcStride: number,
    out: number,
    outStride: number,
    rows: number,
    width: number,
    starts: number,
    weights: number,
    pairs: number,
  ): void;
  pillowVertical(src: number, stride: number, out: number, length: number, weights: number, pairs: number): void;
  cv2Horizontal(row: number, out: number, width: number, starts: number, weights: number): void;
  cv2Vertical(
    upper: number,
    lower: number,
    out: number,
    length: number,
    weightUpper: number,
    weightLower: number,
  ): void;
  floatHorizontal(
    src: number,
    srcStride: number,
    out: number,
    outStride: number,
    rows: number,
    width: number,
    starts: number,
    weights: number,
    taps: number,
  ): void;
  floatVertical(
    src: number,
    stride: number,
    out: number,
    plane: number,
    width: number,
    weights: number,
    taps: number,
    affine: number,
  ): void;
  tableRows(
    src: number,
    srcStride: number,
    out: number,
    outStride: number,
    plane: number,
    rows: number,
    width: number,
    table: number,
  ): void;
  jpegUnstuff(src: number, end: number, dst: number, segments: number, limit: number): number;
  jpegStop(): number;
  jpegSegment(start: number): void;
  jpegBitsRead(start: number): number;
  jpegMcus(scan: number, from: number, mcus: number): number;
  jpegGrayRow(luma: number, width: number, out: number): void;
  jpegFullRow(luma: number, cb: number, cr: number, width: number, out: number): void;
  jpegHalfRow(
    luma: number,
    near0: number,
    far0: number,
    near1: number,
    far1: number,
    width: number,
    samples: number,
    isTall: number,
    sums: number,
    out: number,
  ): void;
}

let kernels: SimdKernels | null | undefined;

/** The compiled kernels, one instance per thread; null where WebAssembly or its SIMD is missing (the TypeScript kernels serve then). */
export function simdKernels(): SimdKernels | null {
  if (kernels !== undefined) return kernels;
  kernels = null;
  const wasm = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly;
  // Not Buffer: browsers run this too.
  const bytes = Uint8Array.from(atob(KERNELS_WASM), (character) => character.charCodeAt(0));
  // `validate` is the feature test: an engine without SIMD rejects the module.
  if (wasm?.validate(bytes)) kernels = new wasm.Instance(new wasm.Module(bytes)).exports as SimdKernels;
  return kernels;
}
