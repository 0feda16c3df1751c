import { ensureWireInfo, markPresence, typeKey } from "./hidden.js";
import type { Dim, ValueInfo } from "./model.js";
import { type WireReader, WireType } from "./wire-reader.js";

/** StringStringEntryProto: metadata and external data. */
export function decodeEntry(r: WireReader): { key: string; value: string } {
  const entry = { key: "", value: "" };
  while (r.next()) {
    if (r.field === 1 && r.wireType === WireType.BYTES) {
      entry.key = r.string();
      if (entry.key === "") markPresence(entry, 1);
    } else if (r.field === 2 && r.wireType === WireType.BYTES) {
      entry.value = r.string();
      if (entry.value === "") markPresence(entry, 2);
    } else {
      const info = ensureWireInfo(entry);
      info.unknown = [...(info.unknown ?? []), r.raw()];
    }
  }
  return entry;
}

export function decodeValueInfo(r: WireReader): ValueInfo {
  const value: ValueInfo = { name: "", dataType: 0 };
  while (r.next()) {
    switch (r.field * 8 + r.wireType) {
      case 10:
        value.name = r.string();
        if (value.name === "") markPresence(value, 1);
        break;
      case 18:
        decodeTypeInto(r, value);
        break;
      case 26:
        value.docString = r.string();
        break;
      default:
        value.unknown = [...(value.unknown ?? []), r.raw()];
    }
  }
  return value;
}

interface ParsedType {
  dataType: number;
  shape?: Dim[];
  /** True if element type and shape alone re-encode to the same bytes. */
  plain: boolean;
  isTensor: boolean;
}

function decodeTypeInto(r: WireReader, value: ValueInfo): void {
  const type: ParsedType = { dataType: 0, plain: true, isTensor: false };
  let start = 0;
  r.message(() => {
    start = r.position;
    while (r.next()) {
      if (r.field === 1 && r.wireType === WireType.BYTES) {
        if (type.isTensor) type.plain = false;
        type.isTensor = true;
        r.message(() => decodeTensorType(r, type));
      } else {
        type.plain = false;
        r.skip();
      }
    }
  });
  const bytes = r.bytes.subarray(start, r.position);
  if (!type.isTensor) {
    value.rawType = bytes;
    return;
  }
  value.dataType = type.dataType;
  if (type.shape) value.shape = type.shape;
  if (type.dataType === 0 && !type.shape) type.plain = false;
  if (!type.plain) ensureWireInfo(value).type = { bytes, key: typeKey(value) };
}

function decodeTensorType(r: WireReader, type: ParsedType): void {
  while (r.next()) {
    if (r.field === 1 && r.wireType === WireType.VARINT) {
      type.dataType = r.safeInteger();
      if (type.dataType === 0 || type.shape) type.plain = false;
    } else if (r.field === 2 && r.wireType === WireType.BYTES) {
      if (type.shape) type.plain = false;
      type.shape ??= [];
      const { shape } = type;
      r.message(() => {
        while (r.next()) {
          if (r.field === 1 && r.wireType === WireType.BYTES) shape.push(r.message(() => decodeDim(r, type)));
          else {
            type.plain = false;
            r.skip();
          }
        }
      });
    } else {
      type.plain = false;
      r.skip();
    }
  }
}

function decodeDim(r: WireReader, type: ParsedType): Dim {
  let dim: Dim = null;
  while (r.next()) {
    if (dim !== null) type.plain = false;
    if (r.field === 1 && r.wireType === WireType.VARINT) dim = r.safeInteger();
    else if (r.field === 2 && r.wireType === WireType.BYTES) {
      dim = r.string();
      if (dim === "") {
        dim = null;
        type.plain = false;
      }
    } else {
      type.plain = false;
      r.skip();
    }
  }
  return dim;
}
