import { decodeEntry } from "./decode-value.js";
import { markPresence } from "./hidden.js";
import { DataType, type Tensor } from "./model.js";
import { elementBits } from "./tensor.js";
import { WireReader, WireType } from "./wire-reader.js";

/** A float_data, int32_data, int64_data, double_data or uint64_data field as found. */
interface TypedField {
  field: number;
  wireType: number;
  /** Tag included. */
  raw: Uint8Array;
  /** Offset of the payload (behind the length of a packed field) and its end, in the reader's buffer. */
  start: number;
  end: number;
}

/** TensorProto; typed payloads are rewritten as little-endian `rawData`. Field 14 (data_location) says whether `externalData` counts. */
export function decodeTensor(r: WireReader): Tensor {
  const tensor: Tensor = { name: "", dataType: 0, dims: [] };
  const typed: TypedField[] = [];
  const external: { key: string; value: string }[] = [];
  const externalRaw: Uint8Array[] = [];
  const unknown: Uint8Array[] = [];
  let location = -1;
  while (r.next()) {
    switch (r.field * 8 + r.wireType) {
      case 8:
        tensor.dims.push(r.safeInteger());
        break;
      case 10:
        r.message(() => {
          while (r.position < r.end) tensor.dims.push(r.safeInteger());
        });
        break;
      case 16:
        tensor.dataType = r.safeInteger();
        if (tensor.dataType === 0) markPresence(tensor, 2);
        break;
      case 50:
        tensor.strings ??= [];
        tensor.strings.push(r.data());
        break;
      case 66:
        tensor.name = r.string();
        if (tensor.name === "") markPresence(tensor, 8);
        break;
      case 74:
        tensor.rawData = r.data();
        break;
      case 98:
        tensor.docString = r.string();
        break;
      case 106: {
        const { tagStart } = r;
        external.push(r.message(decodeEntry));
        externalRaw.push(r.bytes.subarray(tagStart, r.position));
        break;
      }
      case 112:
        location = r.safeInteger();
        break;
      case 34: // packed float_data, int32_data, int64_data, double_data, uint64_data
      case 42:
      case 58:
      case 82:
      case 90:
      case 37: // the same, one element per field
      case 40:
      case 56:
      case 81:
      case 88:
        typed.push(typedField(r));
        break;
      default:
        unknown.push(r.raw());
    }
  }
  if (location === 1) tensor.externalData = external;
  else {
    unknown.push(...externalRaw);
    if (location >= 0) {
      if (location === 0) markPresence(tensor, 14);
      else r.fail(`tensor "${tensor.name}" has data_location ${location}`);
    }
  }
  if (typed.length > 0) {
    const payload = tensor.rawData ? null : typedPayload(r, tensor.dataType, typed);
    if (payload) tensor.rawData = payload;
    else unknown.push(...typed.map(({ raw }) => raw));
  }
  if (unknown.length > 0) tensor.unknown = unknown;
  return tensor;
}

function typedField(r: WireReader): TypedField {
  const { tagStart, field, wireType } = r;
  let start = r.position;
  if (wireType === WireType.BYTES) {
    const length = r.uint();
    r.need(length);
    start = r.position;
    r.position += length;
  } else r.skip();
  return { field, wireType, raw: r.bytes.subarray(tagStart, r.position), start, end: r.position };
}

/** Which typed field carries an element type (onnx.proto, TensorProto): float 4, int32 5, int64 7, double 10, uint64 11. */
function typedFieldOf(dataType: number): number {
  if (dataType === DataType.FLOAT || dataType === 14) return 4;
  if (dataType === DataType.DOUBLE || dataType === 15) return 10;
  if (dataType === DataType.INT64) return 7;
  if (dataType === DataType.UINT32 || dataType === DataType.UINT64) return 11;
  return dataType !== DataType.STRING && elementBits(dataType) > 0 ? 5 : 0;
}

/** Little-endian payload of typed fields, null if they do not belong to the element type. */
function typedPayload(r: WireReader, dataType: number, fields: readonly TypedField[]): Uint8Array | null {
  const expected = typedFieldOf(dataType);
  if (fields.some(({ field }) => field !== expected)) return null;
  if (expected === 4 || expected === 10) {
    const unit = expected === 4 ? 4 : 8;
    for (const { start, end } of fields)
      if ((end - start) % unit !== 0) r.fail(`packed floats of ${end - start} bytes`, start);
    const parts = fields.map(({ start, end }) => r.bytes.subarray(start, end));
    if (parts.length === 1) return parts[0]!;
    const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }
  // 4-bit types arrive as bytes of two nibbles, one byte to an int32.
  const bytes = Math.max(1, elementBits(dataType) / 8);
  let count = 0;
  for (const { start, end } of fields) for (let i = start; i < end; i++) if (r.bytes[i]! < 0x80) count++;
  const payload = new Uint8Array(count * bytes);
  const view = new DataView(payload.buffer);
  const values = new WireReader(r.bytes);
  let at = 0;
  for (const { start, end } of fields) {
    values.position = start;
    values.end = end;
    while (values.position < end) {
      const value = values.int64();
      if (bytes === 8) view.setBigInt64(at, BigInt.asIntN(64, BigInt(value)), true);
      else {
        const low = typeof value === "number" ? value : Number(BigInt.asIntN(32, value));
        if (bytes === 4) view.setInt32(at, low, true);
        else if (bytes === 2) view.setInt16(at, low, true);
        else view.setInt8(at, low);
      }
      at += bytes;
    }
  }
  return payload;
}
