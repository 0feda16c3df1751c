import type { StateTensor } from "../module.js";
import type { TensorDtype } from "./dtype.js";

/** Element type and shape of one tensor as stored. */
export interface TensorInfo {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
}

/** An opened file of named tensors whose directory has been checked; tensor data is read on demand. */
export interface WeightFile {
  /** Tensor names in file order. */
  names(): string[];
  has(name: string): boolean;
  /** dtype and shape as stored. @throws RangeError for an unknown name */
  info(name: string): TensorInfo;
  /**
   * Values of one tensor, a fresh copy. F16, BF16, F8, F64 (rounded), BOOL, 8- and 16-bit integers become F32; I32, U32, U64 become I64;
   * F32 and I64 stay.
   * @throws RangeError for an unknown name; the format's error when the file shrank, a U64 exceeds int64, or values are complex
   */
  tensor(name: string): StateTensor;
  /** Little-endian, row-major bytes of one tensor as stored, a fresh copy aligned for its dtype. @throws as {@link WeightFile.tensor} */
  raw(name: string): Uint8Array;
  /** All tensors, in file order. */
  toStateDict(): Map<string, StateTensor>;
}
