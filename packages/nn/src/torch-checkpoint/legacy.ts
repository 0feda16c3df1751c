import type { ReadBytes } from "../weights/byte-source.js";
import { DTYPE_BYTES } from "../weights/dtype.js";
import { StorageRef, type TorchStorage, TorchTensor } from "./pickle-values.js";
import type { StoredBytes } from "./storages.js";
import { type UnpickleOptions, unpickle } from "./unpickle.js";

/** LONG1 of torch's magic number 0x1950a86a20f9469cfc6c behind PROTO 2. */
export const LEGACY_MAGIC = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const PROTOCOL_VERSION = 1001;
/** The pickles before the data: descriptions only, a few hundred bytes a tensor. */
const MAX_PICKLES = 256 << 20;

/**
 * The stream that torch wrote before 1.6: five pickles (magic, version, system, object, sorted storage keys), then for each key its element
 * count (int64) and raw data.
 * @throws as {@link unpickle}
 */
export function readLegacy(
  read: ReadBytes,
  size: number,
  options: UnpickleOptions,
  fail: (reason: string) => never,
): { root: unknown; storages: Map<string, StoredBytes> } {
  const limit = Math.min(size, MAX_PICKLES);
  let end = LEGACY_MAGIC.length;
  let bytes: Uint8Array = new Uint8Array();
  // The length of the pickles is not written anywhere: read more until they end.
  const next = (): unknown => {
    const result = unpickle(bytes, bytes.length < limit ? { ...options, onEnd: needMore } : options, end);
    end = result.end;
    return result.value;
  };
  let parts: unknown[] | null = null;
  for (let length = 1 << 20; parts === null; length *= 8) {
    bytes = read(0, Math.min(length, limit));
    end = LEGACY_MAGIC.length;
    try {
      parts = [next(), next(), next(), next()];
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
    }
  }
  const [version, system, root, keys] = parts;
  if (version !== PROTOCOL_VERSION) return fail(`legacy protocol ${String(version)}, expected ${PROTOCOL_VERSION}`);
  if (system instanceof Map && system.get("little_endian") === false) return fail("it is big-endian");
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string"))
    return fail("the list of storages is damaged");
  const units = unitsOf(root);
  const storages = new Map<string, StoredBytes>();
  let position = end;
  for (const key of keys as string[]) {
    const prefix = read(position, 8);
    if (prefix.length < 8) return fail(`storage ${key} is missing (truncated?)`);
    const elements = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigInt64(0, true);
    // A storage that no tensor uses has an unknown element size; nothing behind it can be found then.
    const unit = units.get(key);
    if (unit === undefined) return fail(`storage ${key} belongs to no tensor`);
    const bytesHeld = elements * BigInt(unit);
    if (elements < 0n || bytesHeld > BigInt(size - position - 8)) {
      return fail(`storage ${key} claims ${bytesHeld} bytes, the file holds ${size - position - 8} more (truncated?)`);
    }
    storages.set(key, { start: position + 8, size: Number(bytesHeld) });
    position += 8 + Number(bytesHeld);
  }
  return { root, storages };
}

/** The bytes read so far do not hold the whole pickle. */
class NeedMore extends Error {}

function needMore(): never {
  throw new NeedMore();
}

/** Element size of every storage that the object mentions. */
function unitsOf(root: unknown): Map<string, number> {
  const units = new Map<string, number>();
  const seen = new Set<unknown>();
  const note = ({ key, dtype }: TorchStorage): void => {
    units.set(key, dtype === null ? 1 : DTYPE_BYTES[dtype]);
  };
  const open: unknown[] = [root];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof TorchTensor) note(value.storage);
    else if (value instanceof StorageRef) note(value.storage);
    else if (value instanceof Map) open.push(...value.keys(), ...value.values());
    else if (value instanceof Set || Array.isArray(value)) open.push(...value);
    else if (!ArrayBuffer.isView(value)) open.push(...Object.values(value));
  }
  return units;
}
