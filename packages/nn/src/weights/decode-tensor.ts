import { float16ToFloat32 } from "@seg/onnx";
import { bfloat16ToFloat32 } from "../bfloat16.js";
import type { StateTensor } from "../module.js";
import type { TensorDtype } from "./dtype.js";
import { float8ToFloat32 } from "./float8.js";

/**
 * Values of little-endian, row-major data. F16, BF16, F8, F64 (rounded), BOOL, 8- and 16-bit integers become F32; I32, U32, U64 become I64
 * because float32 loses integers above 2^24; F32 and I64 stay, without a copy.
 *
 * @param bytes - exactly the elements of `shape`, aligned to the element size
 * @param fail - throws; called with one clause for values that have no such form
 */
export function decodeTensor(
  { dtype, shape, bytes }: { dtype: TensorDtype; shape: readonly number[]; bytes: Uint8Array },
  fail: (reason: string) => never,
): StateTensor {
  const { buffer, byteOffset, byteLength } = bytes;
  const f32 = (data: Float32Array): StateTensor =>
    dtype === "F32" ? { dtype: "F32", shape, data } : { dtype: "F32", shape, data, storedAs: dtype };
  const i64 = (data: BigInt64Array): StateTensor => ({ dtype: "I64", shape, data });
  switch (dtype) {
    case "F32":
      return f32(new Float32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4));
    case "I64":
      return i64(new BigInt64Array(buffer as ArrayBuffer, byteOffset, byteLength / 8));
    case "F16":
      return f32(float16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2)));
    case "BF16":
      return f32(bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2)));
    case "F8_E4M3":
    case "F8_E5M2":
    case "F8_E8M0":
      return f32(float8ToFloat32(bytes, dtype));
    case "F64":
      return f32(Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8)));
    case "BOOL":
    case "U8":
      return f32(Float32Array.from(bytes));
    case "I8":
      return f32(Float32Array.from(new Int8Array(buffer, byteOffset, byteLength)));
    case "I16":
      return f32(Float32Array.from(new Int16Array(buffer, byteOffset, byteLength / 2)));
    case "U16":
      return f32(Float32Array.from(new Uint16Array(buffer, byteOffset, byteLength / 2)));
    case "I32":
      return i64(widen(new Int32Array(buffer, byteOffset, byteLength / 4)));
    case "U32":
      return i64(widen(new Uint32Array(buffer, byteOffset, byteLength / 4)));
    case "U64": {
      const values = new BigInt64Array(buffer as ArrayBuffer, byteOffset, byteLength / 8);
      if (values.some((value) => value < 0n)) return fail("it holds a value above 2^63 - 1 (U64)");
      return i64(values);
    }
    case "C64":
      return fail("complex values have no float32 form; use raw()");
  }
}

function widen(values: Int32Array | Uint32Array): BigInt64Array {
  const result = new BigInt64Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = BigInt(values[i]!);
  return result;
}
