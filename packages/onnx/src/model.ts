/** ONNX element types (TensorProto.DataType). */
export const DataType = {
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 17,
  UINT4: 21,
  INT4: 22,
} as const;

/** A constant tensor. `rawData` is little-endian, row-major; string tensors carry `strings` instead. */
export interface Tensor {
  name: string;
  dataType: number;
  dims: number[];
  /** Little-endian payload (a zero-copy view after decoding). Absent for string tensors and external data. */
  rawData?: Uint8Array;
  strings?: Uint8Array[];
  /** Set when the payload lies in another file: key -> value (`location`, `offset`, `length`, `checksum`). */
  externalData?: { key: string; value: string }[];
  docString?: string;
  /** Fields that this codec does not know, in wire form, re-emitted as they were. */
  unknown?: Uint8Array[];
}

/** An attribute of a node, by type. */
export type Attribute = { name: string; docString?: string; unknown?: Uint8Array[] } & (
  | { type: "FLOAT"; value: number }
  /** int64; a bigint only where a number cannot hold it. */
  | { type: "INT"; value: number | bigint }
  | { type: "STRING"; value: string }
  | { type: "TENSOR"; value: Tensor }
  | { type: "GRAPH"; value: Graph }
  | { type: "FLOATS"; value: number[] }
  | { type: "INTS"; value: (number | bigint)[] }
  | { type: "STRINGS"; value: string[] }
);

/** One operator of a graph; inputs and outputs are names of values. */
export interface Node {
  opType: string;
  /** "" is the standard domain. */
  domain: string;
  name: string;
  /** "" marks an absent optional input. */
  inputs: string[];
  outputs: string[];
  attributes: Attribute[];
  docString?: string;
  unknown?: Uint8Array[];
}

/** A dimension: a size, a symbolic name, or unknown. */
export type Dim = number | string | null;

/** Name, element type and shape of a value. */
export interface ValueInfo {
  name: string;
  /** Element type; 0 = no type given. */
  dataType: number;
  /** Absent = rank unknown. */
  shape?: Dim[];
  docString?: string;
  /** Wire form of a type other than tensor (sequence, map ...), kept as it was. */
  rawType?: Uint8Array;
  unknown?: Uint8Array[];
}

/** Nodes in topological order, with initializers, inputs and outputs. */
export interface Graph {
  name: string;
  nodes: Node[];
  initializers: Tensor[];
  inputs: ValueInfo[];
  outputs: ValueInfo[];
  valueInfo: ValueInfo[];
  docString?: string;
  unknown?: Uint8Array[];
}

/** An ONNX file as data. Unknown fields of the format are kept. */
export interface Model {
  irVersion: number;
  opsetImport: { domain: string; version: number }[];
  producerName?: string;
  producerVersion?: string;
  domain?: string;
  modelVersion?: number | bigint;
  docString?: string;
  graph: Graph;
  metadataProps: { key: string; value: string }[];
  unknown?: Uint8Array[];
}
