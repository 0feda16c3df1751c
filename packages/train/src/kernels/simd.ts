import type { VectorKernels } from "./kernels.js";
import { addLanes } from "./scalar.js";
import { KERNELS_WASM } from "./wasm.js";

/** What is used of the global `WebAssembly`, whose types would come with the DOM library. */
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

/** Exports of assembly/kernels.ts; addresses and counts. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  adamw(value: number, grad: number, m: number, v: number, count: number, ...scalars: number[]): void;
  sgd(value: number, grad: number, buffer: number, count: number, ...scalars: number[]): void;
  moveTowards(average: number, current: number, count: number, rate: number): void;
  magnitudes(values: number, count: number, sums: number): void;
}

/** Elements worked on at a time: four arrays of 64 KB stay in the second-level cache. */
const CHUNK = 16_384;
const ARRAYS = 4;
const PAGE = 65_536;
/** 4 + 4 float64 sums and 4 float32 maxima, behind the arrays. */
const SUMS_BYTES = 80;

/** The kernels in WebAssembly, null where it or its SIMD is missing. */
export function simdKernels(): VectorKernels | null {
  const wasm = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly;
  const bytes = Buffer.from(KERNELS_WASM, "base64");
  // `validate` is the feature test: an engine without SIMD rejects the module.
  if (!wasm?.validate(bytes)) return null;
  const exports = new wasm.Instance(new wasm.Module(bytes)).exports as Exports;
  const base = exports.memory.buffer.byteLength;
  exports.memory.grow(Math.ceil((ARRAYS * CHUNK * 4 + SUMS_BYTES) / PAGE));
  const { buffer } = exports.memory;
  const at = (slot: number) => base + slot * CHUNK * 4;
  const views = Array.from({ length: ARRAYS }, (_, slot) => new Float32Array(buffer, at(slot), CHUNK));
  const [first, second, third, fourth] = views as [Float32Array, Float32Array, Float32Array, Float32Array];
  const sums = at(ARRAYS);

  /** Calls `work` for pieces of at most CHUNK elements; `padded` is their count rounded up to 4. */
  const inChunks = (length: number, work: (start: number, end: number, padded: number) => void) => {
    for (let start = 0; start < length; start += CHUNK) {
      const end = Math.min(start + CHUNK, length);
      work(start, end, (end - start + 3) & ~3);
    }
  };
  const load = (view: Float32Array, from: Float32Array, start: number, end: number) => {
    view.set(start === 0 && end === from.length ? from : from.subarray(start, end));
    // The rest of the last four: zeros neither raise a sum nor a maximum.
    for (let i = end - start; i & 3; i++) view[i] = 0;
  };
  const store = (to: Float32Array, view: Float32Array, start: number, end: number) => {
    to.set(view.subarray(0, end - start), start);
  };

  return {
    adamw({ value, grad, m, v, next, scale, beta1, beta2, keep, stepSize, inverseRoot, eps }) {
      inChunks(value.length, (start, end, padded) => {
        load(first, value, start, end);
        load(second, grad, start, end);
        load(third, m, start, end);
        load(fourth, v, start, end);
        exports.adamw(at(0), at(1), at(2), at(3), padded, scale, beta1, beta2, keep, stepSize, inverseRoot, eps);
        store(next, first, start, end);
        store(m, third, start, end);
        store(v, fourth, start, end);
      });
    },
    sgd({ value, grad, buffer: momentum, next, scale, decay, carry, mu, lr, nesterov }) {
      inChunks(value.length, (start, end, padded) => {
        load(first, value, start, end);
        load(second, grad, start, end);
        if (momentum) load(third, momentum, start, end);
        exports.sgd(at(0), at(1), momentum ? at(2) : 0, padded, scale, decay, carry, mu, lr, nesterov ? 1 : 0);
        store(next, first, start, end);
        if (momentum) store(momentum, third, start, end);
      });
    },
    moveTowards(average, current, rate) {
      inChunks(average.length, (start, end, padded) => {
        load(first, average, start, end);
        load(second, current, start, end);
        exports.moveTowards(at(0), at(1), padded, rate);
        store(average, first, start, end);
      });
    },
    magnitudes(arrays) {
      new Uint8Array(buffer, sums, SUMS_BYTES).fill(0);
      for (const values of arrays) {
        inChunks(values.length, (start, end, padded) => {
          load(first, values, start, end);
          exports.magnitudes(at(0), padded, sums);
        });
      }
      const lanes = new Float64Array(buffer, sums, 8);
      const max = Math.max(...new Float32Array(buffer, sums + 64, 4));
      return { squares: addLanes(lanes.subarray(0, 4)), sum: addLanes(lanes.subarray(4, 8)), max };
    },
  };
}
