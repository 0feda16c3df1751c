/** Element types of TFLite tensors by name; the numbers are the schema's. */
export const TFLITE_TYPES = {
  float32: 0,
  float16: 1,
  int32: 2,
  uint8: 3,
  int64: 4,
  bool: 6,
  int16: 7,
  int8: 9,
} as const;

/** Element types of TFLite tensors by name. */
export type TfliteType = keyof typeof TFLITE_TYPES;

/** Bytes of one element. */
export const TFLITE_TYPE_BYTES: Readonly<Record<TfliteType, number>> = {
  float32: 4,
  float16: 2,
  int32: 4,
  uint8: 1,
  int64: 8,
  bool: 1,
  int16: 2,
  int8: 1,
};

/** real = (stored - zeroPoint) * scale; one entry per tensor, or one per slice of `dimension`. */
export interface TfliteQuantization {
  scale: readonly number[];
  zeroPoint: readonly number[];
  /** Axis of per-channel parameters; 0 where there is one. */
  dimension: number;
}

/** A value of a subgraph; a constant where it has `data`. */
export interface TfliteTensor {
  name: string;
  shape: readonly number[];
  type: TfliteType;
  /** Little-endian, row-major; a view of the file after reading. */
  data?: Uint8Array;
  quantization?: TfliteQuantization;
}

/** Options of an operator by field name, as `OPERATORS` lists them. */
export type TfliteOptions = Readonly<Record<string, number | boolean | readonly number[]>>;

/** One operator of a TFLite graph; tensors are indices into those of its subgraph. */
export interface TfliteOperator {
  /** Name of the builtin (`CONV_2D`), `BUILTIN_n` for one without a name here, `CUSTOM:name` for a custom one. */
  op: string;
  /** Version of the operator's definition. */
  version: number;
  /** Tensor indices; -1 is an absent optional input. */
  inputs: readonly number[];
  outputs: readonly number[];
  options: TfliteOptions;
}

/** One graph of a TFLite model; operators stand in the order in which they run. */
export interface TfliteSubgraph {
  name: string;
  tensors: TfliteTensor[];
  operators: TfliteOperator[];
  /** Tensor indices. */
  inputs: readonly number[];
  outputs: readonly number[];
}

/** Names by which callers feed and read a subgraph. */
export interface TfliteSignature {
  key: string;
  subgraph: number;
  inputs: readonly (readonly [name: string, tensor: number])[];
  outputs: readonly (readonly [name: string, tensor: number])[];
}

/** A TFLite model as data: what a flatbuffer with identifier `TFL3` holds, and the metadata that is appended to it. */
export interface TfliteModel {
  description: string;
  subgraphs: TfliteSubgraph[];
  signatures: TfliteSignature[];
  /** Content of `metadata.json` in the ZIP archive after the flatbuffer; absent where there is none. */
  metadata?: Readonly<Record<string, unknown>>;
}
