import { inflateSync } from "node:zlib";

/** A picture of one number per pixel. */
export interface IndexImage {
  readonly width: number;
  readonly height: number;
  /** Row-major, one byte per pixel. */
  readonly data: Uint8Array;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** A mask larger than this is none: the file would only exhaust the memory. */
const MAX_PIXELS = 2 ** 28;
/** Colour types with one sample per pixel. */
const GRAY = 0;
const PALETTE = 3;

/**
 * The numbers that a palette or gray PNG stores, up to 8 bits each. Decoders of pictures give the palette's colours instead, from which numbers
 * follow only for a known palette. Checksums are not verified.
 *
 * @returns what is wrong, as the end of a sentence, where the bytes are no such PNG
 * @see PNG (third edition), sections 5, 7 and 9
 */
export function readIndexPng(bytes: Uint8Array): IndexImage | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 33 || SIGNATURE.some((byte, i) => bytes[i] !== byte)) return "is no PNG.";
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const depth = bytes[24]!;
  const colorType = bytes[25]!;
  if ((colorType !== PALETTE && colorType !== GRAY) || depth > 8) {
    return "holds colours, expected one number of at most 8 bits per pixel (a palette or gray PNG).";
  }
  if (bytes[28] !== 0) return "is interlaced. Save it without interlacing.";
  if (width === 0 || height === 0 || width * height > MAX_PIXELS) return `states a size of ${width} x ${height}.`;
  const parts: Uint8Array[] = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) return "ends in the middle of its data.";
    if (type === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
    if (type === "IEND") break;
    at += 12 + length;
  }
  const rowBytes = Math.ceil((width * depth) / 8);
  const size = (rowBytes + 1) * height;
  let raw: Uint8Array;
  try {
    raw = inflateSync(Buffer.concat(parts), { maxOutputLength: size });
  } catch {
    return "holds data that cannot be unpacked.";
  }
  if (raw.length !== size) return "ends in the middle of its data.";
  const data = new Uint8Array(width * height);
  const mask = (1 << depth) - 1;
  let above: Uint8Array = new Uint8Array(rowBytes);
  for (let y = 0, p = 0; y < height; y++) {
    const filter = raw[p++]!;
    const row = raw.subarray(p, p + rowBytes);
    if (!unfilter(filter, row, above)) return `uses the unknown filter ${filter}.`;
    for (let x = 0, o = y * width; x < width; x++, o++) {
      const bit = x * depth;
      data[o] = (row[bit >> 3]! >> (8 - depth - (bit & 7))) & mask;
    }
    above = row;
    p += rowBytes;
  }
  return { width, height, data };
}

/** Undoes one of the five row filters in place; a pixel is at most a byte, so the left neighbour is the byte before. */
function unfilter(filter: number, row: Uint8Array, above: Uint8Array): boolean {
  for (let i = 0; i < row.length; i++) {
    const a = i > 0 ? row[i - 1]! : 0;
    const b = above[i]!;
    const c = i > 0 ? above[i - 1]! : 0;
    if (filter === 0) break;
    else if (filter === 1) row[i]! += a;
    else if (filter === 2) row[i]! += b;
    else if (filter === 3) row[i]! += (a + b) >> 1;
    else if (filter === 4) row[i]! += paeth(a, b, c);
    else return false;
  }
  return true;
}

function paeth(a: number, b: number, c: number): number {
  const p = a + b - c;
  const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}
