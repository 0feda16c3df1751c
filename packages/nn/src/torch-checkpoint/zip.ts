import type { ReadBytes } from "../weights/byte-source.js";

/** One stored file of an archive. */
export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  /** Position of its local header. */
  readonly headerOffset: number;
  /** Neither compressed nor encrypted. */
  readonly isPlain: boolean;
}

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const ZIP64_END = 0x06064b50;
const ZIP64_LOCATOR = 0x07064b50;
const END_BYTES = 22;
const LOCAL_HEADER_BYTES = 30;
/** The longest comment behind the end record. */
const MAX_COMMENT = 0xffff;
/** A checkpoint of 100,000 tensors has a directory of about 10 MB. */
const MAX_DIRECTORY = 256 << 20;

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * The central directory of a zip archive, zip64 included. Sizes come from it because local headers may leave them out (flag bit 3).
 * @param fail - throws; called with one clause
 * @see APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16, 4.5.3
 */
export function readZipDirectory(
  read: ReadBytes,
  size: number,
  fail: (reason: string) => never,
): Map<string, ZipEntry> {
  const { offset, length, count } = findDirectory(read, size, fail);
  if (length > MAX_DIRECTORY || offset + length > size) {
    return fail(`its directory (${length} bytes at ${offset}) does not fit into ${size} bytes`);
  }
  const bytes = read(offset, length);
  const data = view(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || data.getUint32(at, true) !== CENTRAL_HEADER) return fail("its directory is damaged");
    const flags = data.getUint16(at + 8, true);
    const method = data.getUint16(at + 10, true);
    const nameBytes = data.getUint16(at + 28, true);
    const extraBytes = data.getUint16(at + 30, true);
    const next = at + 46 + nameBytes + extraBytes + data.getUint16(at + 32, true);
    if (next > bytes.length) return fail("its directory is damaged");
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameBytes));
    const extra = bytes.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes);
    const wide = [data.getUint32(at + 24, true), data.getUint32(at + 20, true), data.getUint32(at + 42, true)];
    const [full = 0, packed = 0, headerOffset = 0] =
      widen(wide, extra) ?? fail(`the zip64 fields of ${name} are damaged`);
    if (headerOffset + LOCAL_HEADER_BYTES + packed > size) {
      return fail(`the entry ${name} (${packed} bytes at ${headerOffset}) does not fit into ${size} bytes`);
    }
    if (entries.has(name)) return fail(`it holds the entry ${name} twice`);
    const isPlain = (flags & 1) === 0 && method === 0 && packed === full;
    entries.set(name, { name, size: full, headerOffset, isPlain });
    at = next;
  }
  return entries;
}

/**
 * Position of an entry's data: behind the local header, whose name and extra field have lengths of their own (PyTorch pads there to 64 bytes).
 */
export function zipDataStart(read: ReadBytes, size: number, entry: ZipEntry, fail: (reason: string) => never): number {
  if (!entry.isPlain) return fail(`the entry ${entry.name} is compressed or encrypted; PyTorch stores entries plainly`);
  const bytes = read(entry.headerOffset, LOCAL_HEADER_BYTES);
  const data = view(bytes);
  if (bytes.length < LOCAL_HEADER_BYTES || data.getUint32(0, true) !== LOCAL_HEADER) {
    return fail(`the header of the entry ${entry.name} is damaged`);
  }
  const start = entry.headerOffset + LOCAL_HEADER_BYTES + data.getUint16(26, true) + data.getUint16(28, true);
  if (start + entry.size > size) return fail(`the entry ${entry.name} ends behind the end of the file`);
  return start;
}

function findDirectory(
  read: ReadBytes,
  size: number,
  fail: (reason: string) => never,
): { offset: number; length: number; count: number } {
  const tailStart = Math.max(0, size - END_BYTES - MAX_COMMENT);
  const tail = read(tailStart, size - tailStart);
  const data = view(tail);
  let end = tail.length - END_BYTES;
  while (
    end >= 0 &&
    !(data.getUint32(end, true) === END && end + END_BYTES + data.getUint16(end + 20, true) === tail.length)
  )
    end--;
  if (end < 0) return fail("the zip archive has no directory at its end (truncated?)");
  const [count, length, offset] = [
    data.getUint16(end + 10, true),
    data.getUint32(end + 12, true),
    data.getUint32(end + 16, true),
  ];
  if (count !== 0xffff && length !== 0xffffffff && offset !== 0xffffffff) return { count, length, offset };
  const locatorStart = tailStart + end - 20;
  const locator = locatorStart < 0 ? new Uint8Array() : read(locatorStart, 20);
  // Without a locator the values are what they say: 65535 entries are legal in the old format.
  if (locator.length < 20 || view(locator).getUint32(0, true) !== ZIP64_LOCATOR) return { count, length, offset };
  const recordStart = toNumber(view(locator).getBigUint64(8, true));
  const record = recordStart === null || recordStart + 56 > size ? new Uint8Array() : read(recordStart, 56);
  if (record.length < 56 || view(record).getUint32(0, true) !== ZIP64_END)
    return fail("its zip64 directory is damaged");
  const [wideCount, wideLength, wideOffset] = [32, 40, 48].map((at) => toNumber(view(record).getBigUint64(at, true)));
  if (wideCount == null || wideLength == null || wideOffset == null) return fail("its zip64 directory is damaged");
  return { count: wideCount, length: wideLength, offset: wideOffset };
}

/** Replaces each 0xffffffff by the next value of the zip64 field (size, packed size, offset in this order); null when one is lacking. */
function widen(values: number[], extra: Uint8Array): number[] | null {
  if (values.every((value) => value !== 0xffffffff)) return values;
  const data = view(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const [id, length] = [data.getUint16(at, true), data.getUint16(at + 2, true)];
    if (id === 1) {
      let next = at + 4;
      const last = Math.min(extra.length, at + 4 + length);
      const result: number[] = [];
      for (const value of values) {
        if (value !== 0xffffffff) result.push(value);
        else {
          const wide = next + 8 <= last ? toNumber(data.getBigUint64(next, true)) : null;
          if (wide === null) return null;
          result.push(wide);
          next += 8;
        }
      }
      return result;
    }
    at += 4 + length;
  }
  return null;
}

function toNumber(value: bigint): number | null {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}
