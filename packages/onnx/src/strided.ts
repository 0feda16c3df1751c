import type { TensorArray } from "./tensor.js";

/** A new array of the same class. */
export function sameClass(array: TensorArray, length: number): TensorArray {
  return new (array.constructor as new (length: number) => TensorArray)(length);
}

/** Row-major strides of `dims`. */
export function rowMajor(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  let stride = 1;
  for (let i = dims.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= dims[i]!;
  }
  return strides;
}

/** out[i...] = data[base + sum i_k * strides_k], row-major over `dims`: transposes, slices and broadcasts are this with other strides. */
export function gatherStrided({
  data,
  dims,
  strides,
  base = 0,
}: {
  data: TensorArray;
  dims: readonly number[];
  strides: readonly number[];
  base?: number;
}): TensorArray {
  const count = dims.reduce((product, dim) => product * dim, 1);
  const out = sameClass(data, count) as Float32Array;
  const source = data as Float32Array; // element type does not matter for a copy
  const index = new Int32Array(dims.length);
  let at = base;
  for (let i = 0; i < count; i++) {
    out[i] = source[at]!;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < dims[axis]!) break;
      at -= strides[axis]! * dims[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** Shape of a broadcast, null if the shapes do not fit. */
export function broadcastDims(a: readonly number[], b: readonly number[]): number[] | null {
  const rank = Math.max(a.length, b.length);
  const dims: number[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return null;
    dims.push(x === 1 ? y : x);
  }
  return dims;
}

/** Strides that read an array of shape `from` as if it had the broadcast shape `to`. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const strides = rowMajor(from);
  return to.map((_, i) => {
    const axis = i - to.length + from.length;
    return axis < 0 || from[axis] === 1 ? 0 : strides[axis]!;
  });
}
