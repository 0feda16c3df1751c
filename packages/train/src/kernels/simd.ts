import type { ResidentKernels } from "./kernels.js";
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
  adamw(value: number, grad: number, m: number, v: number, next: number, count: number, ...scalars: number[]): void;
  sgd(value: number, grad: number, buffer: number, next: number, count: number, ...scalars: number[]): void;
  moveTowards(average: number, current: number, count: number, rate: number): void;
  magnitudes(values: number, count: number, sums: number): void;
}

/** Elements worked on at a time: five arrays of 64 KB stay in the second-level cache. */
const CHUNK = 16_384;
const ARRAYS = 5;
const PAGE = 65_536;
/** 4 + 4 float64 sums and 4 float32 maxima, behind the arrays. */
const SUMS_BYTES = 80;
/** Addresses are 32 bits wide. */
const MAX_BYTES = 2 ** 32 - PAGE;

let compiled: object | null | undefined;

/** The module, null where WebAssembly or its SIMD is missing. */
function simdModule(wasm: WebAssemblyApi | undefined): object | null {
  if (compiled !== undefined) return compiled;
  const bytes = Buffer.from(KERNELS_WASM, "base64");
  // `validate` is the feature test: an engine without SIMD rejects the module.
  compiled = wasm?.validate(bytes) ? new wasm.Module(bytes) : null;
  return compiled;
}

/**
 * The kernels in WebAssembly with memory for arrays of `lengths` elements, null where it or its SIMD is missing. Arrays of other
 * memory are copied in and out piece by piece; those that do not fit 4 GB are such arrays.
 */
export function simdKernels(lengths: readonly number[] = []): ResidentKernels | null {
  const wasm = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly;
  const module = simdModule(wasm);
  if (module === null) return null;
  const exports = new wasm!.Instance(module).exports as Exports;
  const base = exports.memory.buffer.byteLength;
  const scratchBytes = ARRAYS * CHUNK * 4 + SUMS_BYTES;
  const wanted = lengths.reduce((sum, length) => sum + roundedBytes(length), base + scratchBytes);
  // Grown once: growing later would detach the arrays that were given away.
  exports.memory.grow(Math.ceil((Math.min(wanted, MAX_BYTES) - base) / PAGE));
  const { buffer } = exports.memory;
  const at = (slot: number) => base + slot * CHUNK * 4;
  const scratch = Array.from({ length: ARRAYS }, (_, slot) => new Float32Array(buffer, at(slot), CHUNK));
  const sums = at(ARRAYS);
  const resident = new WeakSet<Float32Array>();
  let free = base + scratchBytes;

  /** Arrays that all lie in this memory are worked on at once, without the operands below: a model has hundreds of small ones. */
  const isResident = (array: Float32Array) => resident.has(array);

  /** An array as kernels find it, piece by piece: where it lies, or by way of a piece of scratch memory. */
  const operand = (array: Float32Array, slot: number, isRead = false): Operand => {
    // Beyond the end of a view, elements are read with the last four but never written.
    if (isResident(array) || (isRead && array.buffer === buffer)) {
      const address = (start: number) => array.byteOffset + start * 4;
      return { address, read: address, write: ignore };
    }
    const view = scratch[slot]!;
    const address = () => at(slot);
    return {
      address,
      read(start, end) {
        load(view, array, start, end);
        return at(slot);
      },
      write(start, end) {
        array.set(view.subarray(0, end - start), start);
      },
    };
  };

  return {
    allocate(length) {
      const bytes = roundedBytes(length);
      if (free + bytes > buffer.byteLength) return new Float32Array(length);
      const array = new Float32Array(buffer, free, length);
      free += bytes;
      resident.add(array);
      return array;
    },
    adamw({ value, grad, m, v, next, scale, beta1, beta2, keep, stepSize, inverseRoot, eps }) {
      if (grad.buffer === buffer && isResident(value) && isResident(m) && isResident(v) && isResident(next)) {
        const [a, b, c, d, e] = [value.byteOffset, grad.byteOffset, m.byteOffset, v.byteOffset, next.byteOffset];
        exports.adamw(a, b, c, d, e, padded(value.length), scale, beta1, beta2, keep, stepSize, inverseRoot, eps);
        return;
      }
      const [p, g, mean, square] = [operand(value, 0), operand(grad, 1, true), operand(m, 2), operand(v, 3)];
      const out = operand(next, 4);
      inChunks(value.length, (start, end, count) => {
        const [a, b, c, d] = [p.read(start, end), g.read(start, end), mean.read(start, end), square.read(start, end)];
        exports.adamw(a, b, c, d, out.address(start), count, scale, beta1, beta2, keep, stepSize, inverseRoot, eps);
        mean.write(start, end);
        square.write(start, end);
        out.write(start, end);
      });
    },
    sgd({ value, grad, buffer: momentum, next, scale, decay, carry, mu, lr, nesterov }) {
      const [p, g, out] = [operand(value, 0), operand(grad, 1, true), operand(next, 4)];
      const velocity = momentum && operand(momentum, 2);
      inChunks(value.length, (start, end, count) => {
        const [a, b, c] = [p.read(start, end), g.read(start, end), velocity?.read(start, end) ?? 0];
        exports.sgd(a, b, c, out.address(start), count, scale, decay, carry, mu, lr, nesterov ? 1 : 0);
        velocity?.write(start, end);
        out.write(start, end);
      });
    },
    moveTowards(average, current, rate) {
      if (current.buffer === buffer && isResident(average)) {
        exports.moveTowards(average.byteOffset, current.byteOffset, padded(average.length), rate);
        return;
      }
      const [e, x] = [operand(average, 0), operand(current, 1)];
      inChunks(average.length, (start, end, count) => {
        exports.moveTowards(e.read(start, end), x.read(start, end), count, rate);
        e.write(start, end);
      });
    },
    magnitudes(arrays) {
      new Uint8Array(buffer, sums, SUMS_BYTES).fill(0);
      for (const values of arrays) {
        const view = scratch[0]!;
        const isInside = values.buffer === buffer;
        inChunks(values.length, (start, end, count) => {
          // What lies behind a view is not known to be zero: its last piece is a copy unless it is whole vectors.
          const inPlace = isInside && end - start === count;
          if (!inPlace) load(view, values, start, end);
          exports.magnitudes(inPlace ? values.byteOffset + start * 4 : at(0), count, sums);
        });
      }
      const lanes = new Float64Array(buffer, sums, 8);
      const max = Math.max(...new Float32Array(buffer, sums + 64, 4));
      return { squares: addLanes(lanes.subarray(0, 4)), sum: addLanes(lanes.subarray(4, 8)), max };
    },
  };
}

/** An operand of a kernel; positions are elements. */
interface Operand {
  /** Where elements from `start` on are, or will be. */
  address(start: number): number;
  /** Brings elements to their address. */
  read(start: number, end: number): number;
  /** Takes results from their address. */
  write(start: number, end: number): void;
}

/** Copies a piece; the rest of its last four becomes zeros, which neither raise a sum nor a maximum. */
function load(view: Float32Array, from: Float32Array, start: number, end: number): void {
  view.set(start === 0 && end === from.length ? from : from.subarray(start, end));
  for (let i = end - start; i & 3; i++) view[i] = 0;
}

const ignore = (_start: number, _end: number): void => {};

/** Bytes of an array of float32, in whole vectors of four. */
const roundedBytes = (length: number): number => Math.ceil(length / 4) * 16;

/** Elements in whole vectors of four. */
const padded = (length: number): number => (length + 3) & ~3;

/** Calls `work` for pieces of at most CHUNK elements; its third argument is their count in whole vectors. */
function inChunks(length: number, work: (start: number, end: number, count: number) => void): void {
  for (let start = 0; start < length; start += CHUNK) {
    const end = Math.min(start + CHUNK, length);
    work(start, end, padded(end - start));
  }
}
