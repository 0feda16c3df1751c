/**
 * What the wire form of an object said and the plain data type has no room for. It hangs on an enumerable symbol key, so a spread copy keeps it.
 */
export interface WireInfo {
  /** Bit n set: field n was written although it holds the default (or left out although the encoder writes it). Only fields 1..30. */
  presence?: number;
  /** Unknown fields of messages whose data type has no `unknown`. */
  unknown?: Uint8Array[];
  /** A TypeProto with parts that `dataType` and `shape` do not express; valid while these two still say `key`. */
  type?: { bytes: Uint8Array; key: string };
}

const wire = Symbol.for("@seg/onnx/wire");

export function wireInfo(object: object): WireInfo | undefined {
  return (object as { [wire]?: WireInfo })[wire];
}

export function ensureWireInfo(object: object): WireInfo {
  const holder = object as { [wire]?: WireInfo };
  holder[wire] ??= {};
  return holder[wire];
}

/** Remembers that field `field` departs from the encoder's presence rule while it holds its default. */
export function markPresence(object: object, field: number): void {
  const info = ensureWireInfo(object);
  info.presence = (info.presence ?? 0) | (1 << field);
}

export function isMarked(object: object, field: number): boolean {
  const presence = wireInfo(object)?.presence;
  return presence !== undefined && (presence & (1 << field)) !== 0;
}

/** Text that changes whenever element type or shape of a value changes. */
export function typeKey(value: { dataType: number; shape?: readonly (number | string | null)[] }): string {
  return JSON.stringify([value.dataType, value.shape ?? null]);
}
