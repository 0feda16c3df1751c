import { DTYPE_BYTES } from "../weights/dtype.js";
import type { TorchTensor } from "./pickle-values.js";

/** Where the bytes of each storage lie in the file. */
export interface StoredBytes {
  readonly start: number;
  readonly size: number;
}

/**
 * A view may have more elements than its storage (an expanded one: stride 0). Up to this many it is read; beyond, a file of a few bytes would
 * claim any amount of memory.
 */
const MAX_EXPANDED = 1 << 20;

/** Elements of a shape; Infinity where it overflows. */
export function countOf(shape: readonly number[]): number {
  const count = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
  return Number.isSafeInteger(count) ? count : Number.POSITIVE_INFINITY;
}

/**
 * First and last element of a view, counted from the start of the file's storage, after checking that the view lies inside.
 * @returns null for an empty view
 */
export function checkView(
  { storage, dtype, offset, shape, stride }: TorchTensor,
  stored: StoredBytes | undefined,
  fail: (reason: string) => never,
): { first: number; last: number } | null {
  if (stored === undefined) return fail(`its storage ${storage.key} is not in the file`);
  const unit = DTYPE_BYTES[dtype];
  // Untyped storages count bytes, tensors elements.
  const bytes = storage.elements * (storage.dtype === null ? 1 : unit);
  const begin = storage.start * (storage.dtype === null ? 1 : unit);
  if (begin + bytes > stored.size) {
    return fail(`its storage ${storage.key} claims ${begin + bytes} bytes, the file holds ${stored.size}`);
  }
  const count = countOf(shape);
  if (count === 0) return null;
  const available = Math.floor(bytes / unit);
  const span = shape.reduce((sum, size, axis) => sum + (size - 1) * stride[axis]!, 0);
  if (!(offset + span < available)) {
    return fail(`a view [${shape}] with stride (${stride}) from element ${offset} leaves its storage of ${available}`);
  }
  if (count > Math.max(available, MAX_EXPANDED)) {
    return fail(`a view [${shape}] with stride (${stride}) repeats ${available} elements into ${count}`);
  }
  const first = begin / unit + offset;
  return { first, last: first + span };
}

/** Whether elements lie in the order of a row-major array without gaps. */
export function isContiguous({ shape, stride }: { shape: readonly number[]; stride: readonly number[] }): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) continue;
    if (stride[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Row-major copy of a strided view. @param bytes - the storage from the view's first element on, aligned to `unit` */
export function gather(
  bytes: Uint8Array,
  { shape, stride }: { shape: readonly number[]; stride: readonly number[] },
  unit: number,
): Uint8Array {
  const count = countOf(shape);
  const result = new Uint8Array(count * unit);
  const open = (array: Uint8Array): Uint8Array | Uint16Array | Uint32Array => {
    const { buffer, byteOffset, byteLength } = array;
    if (unit === 1) return array;
    if (unit === 2) return new Uint16Array(buffer, byteOffset, byteLength >> 1);
    if (unit === 4) return new Uint32Array(buffer, byteOffset, byteLength >> 2);
    return new Uint32Array(buffer, byteOffset, byteLength >> 2);
  };
  const [source, target] = [open(bytes), open(result)];
  // Eight-byte elements move as two words: a double would not keep the bits of every NaN.
  const words = unit === 8 ? 2 : 1;
  const position = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < count; to++) {
    for (let word = 0; word < words; word++) target[to * words + word] = source[from * words + word]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis]!;
      if (++position[axis]! < shape[axis]!) break;
      from -= stride[axis]! * shape[axis]!;
      position[axis] = 0;
    }
  }
  return result;
}
