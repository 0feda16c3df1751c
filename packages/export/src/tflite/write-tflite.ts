import { FlatBuilder, type FlatField } from "./flat-builder.js";
import { metadataZip } from "./metadata-zip.js";
import {
  TFLITE_TYPES,
  type TfliteModel,
  type TfliteOperator,
  type TfliteSubgraph,
  type TfliteTensor,
} from "./model.js";
import { OPERATORS, type OperatorName, type OperatorSpec } from "./operators.js";
import { assertSameScales } from "./same-scale.js";

/** Version of the schema that the identifier `TFL3` stands for. */
const SCHEMA_VERSION = 3;
/** Weights are read in place with vector instructions. */
const DATA_ALIGNMENT = 16;
/** Codes above this live in a second field; the old one then holds this value. */
const LAST_OLD_CODE = 127;

const int32s = (values: readonly number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer);
const specOf = (op: string): OperatorSpec => OPERATORS[op as OperatorName];

/**
 * Encodes a model: flatbuffer `TFL3`, then the metadata as a ZIP archive where there is some.
 * Every operator must be one of `OPERATORS`; models that were read with others can be looked at, not written.
 *
 * @throws ExportError `SAME_SCALE_VIOLATION` before anything is written; RangeError above 2 GiB
 */
export function writeTflite(model: TfliteModel): Uint8Array {
  assertSameScales(model);
  const dataBytes = model.subgraphs.reduce(
    (sum, { tensors }) => sum + tensors.reduce((bytes, { data }) => bytes + (data?.length ?? 0), 0),
    0,
  );
  const builder = new FlatBuilder(dataBytes + 256 * 1024);
  const buffers: number[] = [builder.table([])];
  const codes: { op: string; version: number }[] = [];
  const subgraphs = model.subgraphs.map((subgraph) => writeSubgraph({ builder, subgraph, buffers, codes }));
  const operatorCodes = codes.map(({ op, version }) => {
    const { code } = specOf(op);
    return builder.table([
      { slot: 0, kind: "int8", value: Math.min(code, LAST_OLD_CODE) },
      { slot: 2, kind: "int32", value: version, fallback: 1 },
      { slot: 3, kind: "int32", value: code },
    ]);
  });
  const signatures = model.signatures.map(({ key, subgraph, inputs, outputs }) => {
    const maps = (pairs: typeof inputs): number =>
      builder.refs(
        pairs.map(([name, tensor]) =>
          builder.table([
            { slot: 0, kind: "ref", value: builder.string(name) },
            { slot: 1, kind: "uint32", value: tensor },
          ]),
        ),
      );
    const [inputMaps, outputMaps] = [maps(inputs), maps(outputs)];
    return builder.table([
      { slot: 0, kind: "ref", value: inputMaps },
      { slot: 1, kind: "ref", value: outputMaps },
      { slot: 2, kind: "ref", value: builder.string(key) },
      { slot: 4, kind: "uint32", value: subgraph },
    ]);
  });
  const root = builder.table([
    { slot: 0, kind: "uint32", value: SCHEMA_VERSION },
    { slot: 1, kind: "ref", value: builder.refs(operatorCodes) },
    { slot: 2, kind: "ref", value: builder.refs(subgraphs) },
    { slot: 3, kind: "ref", value: builder.string(model.description) },
    { slot: 4, kind: "ref", value: builder.refs(buffers) },
    { slot: 7, kind: "ref", value: signatures.length === 0 ? null : builder.refs(signatures) },
  ]);
  const flat = builder.finish(root, "TFL3");
  if (model.metadata === undefined) return flat;
  const zip = metadataZip(model.metadata, flat.length);
  const file = new Uint8Array(flat.length + zip.length);
  file.set(flat);
  file.set(zip, flat.length);
  return file;
}

function writeSubgraph({
  builder,
  subgraph,
  buffers,
  codes,
}: {
  builder: FlatBuilder;
  subgraph: TfliteSubgraph;
  buffers: number[];
  codes: { op: string; version: number }[];
}): number {
  const indices = (values: readonly number[]): number => builder.vector(int32s(values), 4);
  const tensors = subgraph.tensors.map((tensor) => writeTensor(builder, tensor, buffers));
  const operators = subgraph.operators.map((operator) => {
    const { op, version, inputs, outputs } = operator;
    let code = codes.findIndex((entry) => entry.op === op && entry.version === version);
    if (code < 0) code = codes.push({ op, version }) - 1;
    const { options } = specOf(op);
    const table = options === 0 ? null : writeOptions(builder, operator);
    return builder.table([
      { slot: 0, kind: "uint32", value: code },
      { slot: 1, kind: "ref", value: indices(inputs) },
      { slot: 2, kind: "ref", value: indices(outputs) },
      { slot: 3, kind: "uint8", value: options },
      { slot: 4, kind: "ref", value: table },
    ]);
  });
  return builder.table([
    { slot: 0, kind: "ref", value: builder.refs(tensors) },
    { slot: 1, kind: "ref", value: indices(subgraph.inputs) },
    { slot: 2, kind: "ref", value: indices(subgraph.outputs) },
    { slot: 3, kind: "ref", value: builder.refs(operators) },
    { slot: 4, kind: "ref", value: builder.string(subgraph.name) },
  ]);
}

function writeTensor(builder: FlatBuilder, tensor: TfliteTensor, buffers: number[]): number {
  const { name, shape, type, data, quantization } = tensor;
  let buffer = 0;
  if (data !== undefined) {
    const content = builder.vector(data, 1, DATA_ALIGNMENT);
    buffer = buffers.push(builder.table([{ slot: 0, kind: "ref", value: content }])) - 1;
  }
  let parameters: number | null = null;
  if (quantization !== undefined) {
    const { scale, zeroPoint, dimension } = quantization;
    const scales = builder.vector(new Uint8Array(Float32Array.from(scale).buffer), 4);
    const zeroPoints = builder.vector(new Uint8Array(BigInt64Array.from(zeroPoint, BigInt).buffer), 8);
    parameters = builder.table([
      { slot: 2, kind: "ref", value: scales },
      { slot: 3, kind: "ref", value: zeroPoints },
      { slot: 6, kind: "int32", value: dimension },
    ]);
  }
  const dims = builder.vector(int32s(shape), 4);
  const fields: FlatField[] = [
    { slot: 0, kind: "ref", value: dims },
    { slot: 1, kind: "int8", value: TFLITE_TYPES[type] },
    { slot: 2, kind: "uint32", value: buffer },
    { slot: 3, kind: "ref", value: builder.string(name) },
    { slot: 4, kind: "ref", value: parameters },
    // Without it an empty shape means an unknown rank, not a scalar.
    { slot: 8, kind: "bool", value: 1 },
  ];
  return builder.table(fields);
}

function writeOptions(builder: FlatBuilder, { op, options }: TfliteOperator): number {
  const vectors = new Map<string, number>();
  for (const { name, kind } of specOf(op).fields) {
    if (kind === "int32[]") vectors.set(name, builder.vector(int32s(options[name] as readonly number[]), 4));
  }
  const fields = specOf(op).fields.map(({ name, slot, kind, fallback }): FlatField => {
    if (kind === "int32[]") return { slot, kind: "ref", value: vectors.get(name)! };
    return { slot, kind, value: Number(options[name] ?? fallback), fallback };
  });
  return builder.table(fields);
}
