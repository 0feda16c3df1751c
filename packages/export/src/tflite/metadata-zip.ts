import { crc32 } from "./crc32.js";

const ENTRY = "metadata.json";
const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END_HEADER = 0x06054b50;
/** Bytes of the fixed part of the end record, and the longest comment that may follow it. */
const END_BYTES = 22;
const LONGEST_COMMENT = 0xffff;
/** First second of the ZIP calendar: equal metadata gives equal bytes. */
const DOS_DATE = 0x0021;

/**
 * A ZIP archive with the one stored entry `metadata.json`, to be appended to a model; positions count from the start of the model file.
 * @param start - length of what stands before the archive, bytes
 */
export function metadataZip(metadata: Readonly<Record<string, unknown>>, start: number): Uint8Array {
  const content = new TextEncoder().encode(JSON.stringify(metadata));
  const name = new TextEncoder().encode(ENTRY);
  const common = (view: DataView, at: number): void => {
    view.setUint16(at, 20, true); // version needed: 2.0
    view.setUint16(at + 2, 0x0800, true); // names are UTF-8
    view.setUint16(at + 4, 0, true); // stored
    view.setUint16(at + 6, 0, true);
    view.setUint16(at + 8, DOS_DATE, true);
    view.setUint32(at + 10, crc32(content), true);
    view.setUint32(at + 14, content.length, true);
    view.setUint32(at + 18, content.length, true);
    view.setUint16(at + 22, name.length, true);
  };
  const localBytes = 30 + name.length + content.length;
  const centralBytes = 46 + name.length;
  const bytes = new Uint8Array(localBytes + centralBytes + END_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, LOCAL_HEADER, true);
  common(view, 4);
  bytes.set(name, 30);
  bytes.set(content, 30 + name.length);
  view.setUint32(localBytes, CENTRAL_HEADER, true);
  view.setUint16(localBytes + 4, 20, true);
  common(view, localBytes + 6);
  view.setUint32(localBytes + 42, start, true);
  bytes.set(name, localBytes + 46);
  const end = localBytes + centralBytes;
  view.setUint32(end, END_HEADER, true);
  view.setUint16(end + 8, 1, true);
  view.setUint16(end + 10, 1, true);
  view.setUint32(end + 12, centralBytes, true);
  view.setUint32(end + 16, start + localBytes, true);
  return bytes;
}

/**
 * Text of `metadata.json` in an archive at the end of a file; null where there is no archive, no such entry, or one that is compressed or damaged.
 */
export function readMetadataZip(file: Uint8Array): string | null {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const lowest = Math.max(0, file.length - END_BYTES - LONGEST_COMMENT);
  let end = file.length - END_BYTES;
  while (end >= lowest && view.getUint32(end, true) !== END_HEADER) end--;
  if (end < lowest) return null;
  let at = view.getUint32(end + 16, true);
  for (let entries = view.getUint16(end + 10, true); entries > 0; entries--) {
    if (at + 46 > file.length || view.getUint32(at, true) !== CENTRAL_HEADER) return null;
    const nameLength = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(file.subarray(at + 46, at + 46 + nameLength));
    if (name === ENTRY && view.getUint16(at + 10, true) === 0) {
      const size = view.getUint32(at + 24, true);
      const local = view.getUint32(at + 42, true);
      if (local + 30 > file.length || view.getUint32(local, true) !== LOCAL_HEADER) return null;
      const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      const content = file.subarray(from, from + size);
      if (content.length !== size || crc32(content) !== view.getUint32(at + 16, true)) return null;
      return new TextDecoder().decode(content);
    }
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return null;
}
