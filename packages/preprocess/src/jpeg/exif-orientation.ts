import type { Orientation } from "../geometry.js";

const ORIENTATION_TAG = 0x0112;
const SHORT = 3;

/**
 * Orientation in the first directory of an EXIF block (a TIFF header and what follows); 1 where it has none, null for a block
 * that is not well-formed.
 */
export function exifOrientation(tiff: Uint8Array): Orientation | null {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (tiff.length < 8) return null;
  const order = view.getUint16(0);
  const isLittle = order === 0x4949;
  if ((!isLittle && order !== 0x4d4d) || view.getUint16(2, isLittle) !== 42) return null;
  const directory = view.getUint32(4, isLittle);
  if (directory + 2 > tiff.length) return null;
  const entries = view.getUint16(directory, isLittle);
  if (directory + 2 + 12 * entries > tiff.length) return null;
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + 12 * i;
    if (view.getUint16(entry, isLittle) !== ORIENTATION_TAG) continue;
    const value = view.getUint16(entry + 8, isLittle);
    const isSane = view.getUint16(entry + 2, isLittle) === SHORT && view.getUint32(entry + 4, isLittle) === 1;
    return isSane && value >= 1 && value <= 8 ? (value as Orientation) : null;
  }
  return 1;
}
