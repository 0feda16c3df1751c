import { FlatReader, type FlatTable } from "./flat-reader.js";
import { readMetadataZip } from "./metadata-zip.js";
import {
  TFLITE_TYPE_BYTES,
  TFLITE_TYPES,
  type TfliteModel,
  type TfliteOperator,
  type TfliteOptions,
  type TfliteQuantization,
  type TfliteSignature,
  type TfliteTensor,
  type TfliteType,
} from "./model.js";
import { OPERATORS, type OptionField, operatorName } from "./operators.js";

const TYPE_NAMES = new Map<number, TfliteType>(
  Object.entries(TFLITE_TYPES).map(([name, number]) => [number, name as TfliteType]),
);

/**
 * Decodes a TFLite model; weights stay views of `bytes`. Operators without a name in `OPERATORS` keep their code and lose their options.
 *
 * Everything is checked against the file and against each other: references, vector lengths, tensor indices, constant sizes. Time and memory are
 * bounded by the length of the file.
 *
 * @throws ExportError `MALFORMED_TFLITE` with the byte position
 */
export function readTflite(bytes: Uint8Array): TfliteModel {
  const reader = new FlatReader(bytes);
  if (bytes.length < 12) reader.fail(0, `${bytes.length} bytes are too few`);
  const identifier = String.fromCharCode(...bytes.subarray(4, 8));
  if (identifier !== "TFL3") reader.fail(4, "the identifier is not TFL3");
  const root = reader.table(reader.ref(0));
  const version = root.field(0) === 0 ? 0 : reader.uint32(root.field(0));
  if (version !== 3) reader.fail(root.at, `schema version ${version} is not 3`);

  const codes = reader.tables(root.field(1)).map((table) => readCode(reader, table));
  const buffers = reader.tables(root.field(4)).map((table) => {
    const { at, length } = reader.vector(table.field(0), 1);
    return length === 0 ? undefined : bytes.subarray(at, at + length);
  });
  const subgraphs = reader.tables(root.field(2)).map((table) => {
    const tensors = reader.tables(table.field(0)).map((tensor) => readTensor(reader, tensor, buffers));
    const indices = (field: number, allowAbsent: boolean): number[] => {
      const values = reader.numbers(field, "int32");
      const wrong = values.find((index) => index >= tensors.length || index < (allowAbsent ? -1 : 0));
      if (wrong !== undefined) reader.fail(table.at, `tensor ${wrong} does not exist, there are ${tensors.length}`);
      return values;
    };
    const operators = reader.tables(table.field(3)).map((operator): TfliteOperator => {
      const code = operator.field(0) === 0 ? 0 : reader.uint32(operator.field(0));
      const entry = codes[code];
      if (entry === undefined) return reader.fail(operator.at, `operator code ${code} does not exist`);
      return {
        ...entry,
        inputs: indices(operator.field(1), true),
        outputs: indices(operator.field(2), false),
        options: readOptions(reader, operator, entry.op),
      };
    });
    return {
      name: reader.string(table.field(4)),
      tensors,
      operators,
      inputs: indices(table.field(1), false),
      outputs: indices(table.field(2), false),
    };
  });
  const signatures = reader.tables(root.field(7)).map((table): TfliteSignature => {
    const subgraph = table.field(4) === 0 ? 0 : reader.uint32(table.field(4));
    const count = subgraphs[subgraph]?.tensors.length ?? reader.fail(table.at, `subgraph ${subgraph} does not exist`);
    const maps = (field: number) =>
      reader.tables(field).map((entry) => {
        const tensor = entry.field(1) === 0 ? 0 : reader.uint32(entry.field(1));
        if (tensor >= count) reader.fail(entry.at, `tensor ${tensor} does not exist, there are ${count}`);
        return [reader.string(entry.field(0)), tensor] as const;
      });
    return {
      key: reader.string(table.field(2)),
      subgraph,
      inputs: maps(table.field(0)),
      outputs: maps(table.field(1)),
    };
  });
  const metadata = readMetadata(bytes);
  return {
    description: reader.string(root.field(3)),
    subgraphs,
    signatures,
    ...(metadata === null ? {} : { metadata }),
  };
}

/** Foreign archives are none of our business: what is not a JSON object is no metadata. */
function readMetadata(bytes: Uint8Array): Record<string, unknown> | null {
  const text = readMetadataZip(bytes);
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function readCode(reader: FlatReader, table: FlatTable): { op: string; version: number } {
  const [old, custom, versionField, recent] = [0, 1, 2, 3].map((slot) => table.field(slot));
  const code = Math.max(old ? reader.int8(old) : 0, recent ? reader.int32(recent) : 0);
  const version = versionField ? reader.int32(versionField) : 1;
  const op = custom ? `CUSTOM:${reader.string(custom)}` : (operatorName(code) ?? `BUILTIN_${code}`);
  return { op, version };
}

function readTensor(reader: FlatReader, table: FlatTable, buffers: readonly (Uint8Array | undefined)[]): TfliteTensor {
  const shape = reader.numbers(table.field(0), "int32");
  if (shape.some((side) => side < 0)) reader.fail(table.at, `a tensor has shape [${shape.join(",")}]`);
  const code = table.field(1) === 0 ? 0 : reader.int8(table.field(1));
  const type = TYPE_NAMES.get(code) ?? reader.fail(table.at, `element type ${code} is not supported`);
  const index = table.field(2) === 0 ? 0 : reader.uint32(table.field(2));
  if (index > 0 && index >= buffers.length) reader.fail(table.at, `buffer ${index} does not exist`);
  const data = buffers[index];
  const name = reader.string(table.field(3));
  const size = shape.reduce((product, side) => product * side, TFLITE_TYPE_BYTES[type]);
  if (data !== undefined && data.length !== size) {
    reader.fail(table.at, `constant ${name} has ${data.length} bytes, its shape [${shape.join(",")}] needs ${size}`);
  }
  const quantization = readQuantization(reader, table.field(4), shape);
  return {
    name,
    shape,
    type,
    ...(data === undefined ? {} : { data }),
    ...(quantization === null ? {} : { quantization }),
  };
}

function readQuantization(reader: FlatReader, field: number, shape: readonly number[]): TfliteQuantization | null {
  if (field === 0) return null;
  const table = reader.table(reader.ref(field));
  const scale = reader.numbers(table.field(2), "float32");
  if (scale.length === 0) return null;
  const zeroPoint = reader.numbers(table.field(3), "int64");
  const dimension = table.field(6) === 0 ? 0 : reader.int32(table.field(6));
  if (scale.length > 1 && (dimension < 0 || shape[dimension] !== scale.length)) {
    reader.fail(table.at, `${scale.length} scales do not fit axis ${dimension} of [${shape.join(",")}]`);
  }
  return { scale, zeroPoint: zeroPoint.length === 0 ? scale.map(() => 0) : zeroPoint, dimension };
}

function readOptions(reader: FlatReader, operator: FlatTable, op: string): TfliteOptions {
  const spec = op in OPERATORS ? OPERATORS[op as keyof typeof OPERATORS] : undefined;
  const type = operator.field(3) === 0 ? 0 : reader.uint8(operator.field(3));
  if (spec === undefined || spec.fields.length === 0) return {};
  const fields: readonly OptionField[] = spec.fields;
  const reference = operator.field(4);
  if (type !== spec.options || reference === 0) {
    // Absent options mean fallbacks everywhere.
    return Object.fromEntries(fields.map(({ name, kind, fallback }) => [name, kind === "int32[]" ? [] : fallback]));
  }
  const table = reader.table(reader.ref(reference));
  const options: Record<string, number | boolean | number[]> = {};
  for (const { name, slot, kind, fallback } of fields) {
    const at = table.field(slot);
    if (kind === "int32[]") options[name] = reader.numbers(at, "int32");
    else if (kind === "bool") options[name] = (at === 0 ? fallback : reader.uint8(at)) !== 0;
    else options[name] = at === 0 ? fallback : reader[kind](at);
  }
  return options;
}
