/** Bytes of one element, by the dtype names of safetensors, which all weight files of this package use. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

/** Element types of weight files, without the sub-byte ones. */
export type TensorDtype = keyof typeof DTYPE_BYTES;
