import { TensorDataError } from "./errors.js";
import { DataType, type Tensor } from "./model.js";

/** Array classes that a payload can be read as. 16-bit floats are their bit patterns. */
export type TensorArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

interface ArrayClass {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorArray;
}

const arrayClasses: Readonly<Record<number, ArrayClass>> = {
  [DataType.FLOAT]: Float32Array,
  [DataType.UINT8]: Uint8Array,
  [DataType.INT8]: Int8Array,
  [DataType.UINT16]: Uint16Array,
  [DataType.INT16]: Int16Array,
  [DataType.INT32]: Int32Array,
  [DataType.INT64]: BigInt64Array,
  [DataType.BOOL]: Uint8Array,
  [DataType.FLOAT16]: Uint16Array,
  [DataType.DOUBLE]: Float64Array,
  [DataType.UINT32]: Uint32Array,
  [DataType.UINT64]: BigUint64Array,
  [DataType.BFLOAT16]: Uint16Array,
};

/** Bits of one element of an ONNX element type; 0 where it is not fixed (strings) or not known. */
export function elementBits(dataType: number): number {
  const arrayClass = arrayClasses[dataType];
  if (arrayClass) return arrayClass.BYTES_PER_ELEMENT * 8;
  if (dataType >= 17 && dataType <= 20) return 8; // float8 family
  if (dataType === DataType.UINT4 || dataType === DataType.INT4 || dataType === 23) return 4;
  if (dataType === 14) return 64; // complex64
  if (dataType === 15) return 128; // complex128
  return 0;
}

/** Number of elements of `dims`; 1 for a scalar. */
export function elementCount(dims: readonly number[]): number {
  let count = 1;
  for (const dim of dims) count *= dim;
  return count;
}

/** Payload bytes of `dims` elements (4-bit types packed two to a byte); null where the type has no fixed size. */
export function payloadBytes(dataType: number, dims: readonly number[]): number | null {
  const bits = elementBits(dataType);
  return bits === 0 ? null : Math.ceil((elementCount(dims) * bits) / 8);
}

/**
 * Builds a tensor. Typed arrays become the payload without a copy (so do not change them afterwards); number lists are converted.
 *
 * @param options.data - typed array or raw little-endian bytes of exactly dims x element size, or numbers to convert. 16-bit floats as bits.
 * @throws {@link TensorDataError} if the size does not fit, or numbers cannot be converted to the type.
 * @example tensorFrom({ name: "axes", dataType: DataType.INT64, dims: [2], data: [1, 2] }).rawData.length // 16
 */
export function tensorFrom({
  name = "",
  dataType,
  dims,
  data,
}: {
  name?: string;
  dataType: number;
  dims: readonly number[];
  data: ArrayBufferView | readonly (number | bigint)[];
}): Tensor & { rawData: Uint8Array } {
  const rawData = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : fromNumbers({ name, dataType, data });
  const expected = payloadBytes(dataType, dims);
  if (expected === null)
    throw new TensorDataError({ tensor: name, reason: `element type ${dataType} has no numeric payload` });
  if (expected !== rawData.length) {
    const reason = `${rawData.length} payload bytes, expected ${expected} for type ${dataType} and shape [${dims.join(",")}]`;
    throw new TensorDataError({ tensor: name, reason });
  }
  return { name, dataType, dims: [...dims], rawData };
}

function fromNumbers({
  name,
  dataType,
  data,
}: {
  name: string;
  dataType: number;
  data: readonly (number | bigint)[];
}): Uint8Array {
  const arrayClass = arrayClasses[dataType];
  if (!arrayClass || dataType === DataType.FLOAT16 || dataType === DataType.BFLOAT16)
    throw new TensorDataError({
      tensor: name,
      reason: `numbers cannot be converted to element type ${dataType}; pass bits as a typed array`,
    });
  const array = new arrayClass(new ArrayBuffer(data.length * arrayClass.BYTES_PER_ELEMENT), 0, data.length);
  if (array instanceof BigInt64Array || array instanceof BigUint64Array)
    for (let i = 0; i < data.length; i++) array[i] = BigInt(data[i]!);
  else for (let i = 0; i < data.length; i++) array[i] = Number(data[i]);
  return new Uint8Array(array.buffer);
}

/**
 * The payload as a typed array: Float32Array for FLOAT, BigInt64Array for INT64, Uint16Array of bits for FLOAT16 and BFLOAT16, Uint8Array for
 * BOOL and for packed or 8-bit float types. A view where alignment permits, otherwise a copy: treat it as read-only.
 *
 * @throws {@link TensorDataError} for strings, external data that is not loaded, or a payload of the wrong size.
 */
export function tensorData(tensor: Tensor): TensorArray {
  const { name, dataType, dims, rawData, externalData } = tensor;
  if (externalData && !rawData)
    throw new TensorDataError({ tensor: name, reason: "its data is external and not loaded; use loadModel" });
  const expected = payloadBytes(dataType, dims);
  if (expected === null)
    throw new TensorDataError({ tensor: name, reason: `element type ${dataType} has no numeric payload` });
  const bytes = rawData ?? new Uint8Array(0);
  if (bytes.length !== expected)
    throw new TensorDataError({
      tensor: name,
      reason: `${bytes.length} payload bytes, expected ${expected} for shape [${dims.join(",")}]`,
    });
  const arrayClass = arrayClasses[dataType];
  if (!arrayClass) return bytes;
  const size = arrayClass.BYTES_PER_ELEMENT;
  if (bytes.byteOffset % size === 0) return new arrayClass(bytes.buffer, bytes.byteOffset, bytes.length / size);
  const copy = new Uint8Array(bytes); // Buffer.slice would be a view
  return new arrayClass(copy.buffer, 0, bytes.length / size);
}
