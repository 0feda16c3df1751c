import { scalarKernels } from "./scalar.js";
import { simdKernels } from "./simd.js";

/** One AdamW update; arrays have one length. `next` may be `value`. */
export interface AdamwStep {
  readonly value: Float32Array;
  readonly grad: Float32Array;
  /** Moments, written in place. */
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly next: Float32Array;
  /** Factor on the gradient. */
  readonly scale: number;
  readonly beta1: number;
  readonly beta2: number;
  /** 1 - lr * weight decay */
  readonly keep: number;
  /** lr / (1 - beta1^t) */
  readonly stepSize: number;
  /** 1 / sqrt(1 - beta2^t) */
  readonly inverseRoot: number;
  readonly eps: number;
}

/** One SGD update; arrays have one length. */
export interface SgdStep {
  readonly value: Float32Array;
  readonly grad: Float32Array;
  /** Momentum, written in place; null for none. */
  readonly buffer: Float32Array | null;
  readonly next: Float32Array;
  readonly scale: number;
  readonly decay: number;
  /** Factor on the old buffer: 0 in the first update. */
  readonly carry: number;
  readonly mu: number;
  readonly lr: number;
  readonly nesterov: boolean;
}

/** Sums over the magnitudes of some arrays. */
export interface Magnitudes {
  readonly squares: number;
  readonly sum: number;
  /** A NaN does not win; the sums have it. */
  readonly max: number;
}

/**
 * Elementwise work on parameters: float32 in memory, float64 in between. Sums keep four partial ones, element i of an array in number
 * i mod 4, and add them at the end; so both implementations give the same bits.
 */
export interface VectorKernels {
  adamw(step: AdamwStep): void;
  sgd(step: SgdStep): void;
  /** average += rate (current - average) */
  moveTowards(average: Float32Array, current: Float32Array, rate: number): void;
  magnitudes(arrays: Iterable<Float32Array>): Magnitudes;
}

/** Kernels that can hold arrays in their own memory: those are worked on in place. */
export interface ResidentKernels extends VectorKernels {
  /** Zeros; in the kernels' memory while the space that was asked for lasts, ordinary memory after that. */
  allocate(length: number): Float32Array;
}

/** SIMD where WebAssembly has it, else TypeScript. */
export const kernels: VectorKernels = simdKernels() ?? scalarKernels;

/**
 * Kernels with space for arrays of the given lengths. The memory is theirs alone and goes with them.
 * @param lengths - elements of each array that will be allocated
 */
export function residentKernels(lengths: readonly number[]): ResidentKernels {
  return simdKernels(lengths) ?? { ...scalarKernels, allocate: (length) => new Float32Array(length) };
}
