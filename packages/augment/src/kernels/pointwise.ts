import { clamped } from "./clamped.js";
import type { Kernels } from "./kernels.js";
import { NOISE_MASK, noiseTable } from "./noise-table.js";

/** Bytes from which on the table of pairs pays. */
const MANY_BYTES = 250_000;
let pairTable = new Uint16Array(0);

/** Two bytes at a time, in a table of all pairs. */
function pairsOf(table: Uint8Array): Uint16Array {
  if (pairTable.length === 0) pairTable = new Uint16Array(65_536);
  for (let high = 0, i = 0; high < 256; high++) {
    const upper = table[high]! << 8;
    for (let low = 0; low < 256; low++, i++) pairTable[i] = upper | table[low]!;
  }
  return pairTable;
}

/** {@link Kernels.lut} */
export const lut: Kernels["lut"] = ({ data }, table) => {
  const n = data.length;
  if (n >= MANY_BYTES && (data.byteOffset & 1) === 0) {
    const pairs = pairsOf(table);
    const halves = new Uint16Array(data.buffer, data.byteOffset, n >> 1);
    for (let i = 0; i < halves.length; i++) halves[i] = pairs[halves[i]!]!;
    if (n % 2 === 1) data[n - 1] = table[data[n - 1]!]!;
    return;
  }
  const start = Math.min(n, -data.byteOffset & 3);
  const words = new Uint32Array(data.buffer, data.byteOffset + start, (n - start) >> 2);
  // Four bytes a load and a store: twice as fast as one at a time.
  for (let i = 0; i < words.length; i++) {
    const v = words[i]!;
    words[i] =
      table[v & 255]! | (table[(v >>> 8) & 255]! << 8) | (table[(v >>> 16) & 255]! << 16) | (table[v >>> 24]! << 24);
  }
  for (let i = 0; i < start; i++) data[i] = table[data[i]!]!;
  for (let i = start + 4 * words.length; i < n; i++) data[i] = table[data[i]!]!;
};

let scaledTable = new Int16Array(0);

/** The whole table times scale / 2^shift: pays where a picture reads it more than once. */
function scaledNoise(scale: number, shift: number): Int16Array {
  const table = noiseTable();
  if (scaledTable.length === 0) scaledTable = new Int16Array(table.length);
  const half = 1 << (shift - 1);
  for (let i = 0; i < table.length; i++) scaledTable[i] = (table[i]! * scale + half) >> shift;
  return scaledTable;
}

/** {@link Kernels.noise} */
export const noise: Kernels["noise"] = (image, rowOffsets, scale, shift, isShared) => {
  const { width, height, channels } = image;
  const data = clamped(image.data);
  const table = noiseTable();
  const half = 1 << (shift - 1);
  const rowBytes = width * channels;
  if (!isShared && rowBytes * height >= 2 * table.length) {
    const scaled = scaledNoise(scale, shift);
    for (let y = 0, i = 0; y < height; y++) {
      let at = rowOffsets[y]! & NOISE_MASK;
      for (const end = i + rowBytes; i < end; at = 0) {
        // Up to the end of the row or of the table.
        for (const stop = Math.min(end, i + table.length - at); i < stop; i++, at++) data[i] = data[i]! + scaled[at]!;
      }
    }
    return;
  }
  for (let y = 0; y < height; y++) {
    let at = rowOffsets[y]! & NOISE_MASK;
    let i = y * rowBytes;
    const end = i + rowBytes;
    if (isShared) {
      while (i < end) {
        const add = (table[at]! * scale + half) >> shift;
        at = (at + 1) & NOISE_MASK;
        for (let c = 0; c < channels; c++, i++) {
          data[i] = data[i]! + add;
        }
      }
    } else {
      for (; i < end; i++) {
        data[i] = data[i]! + ((table[at]! * scale + half) >> shift);
        at = (at + 1) & NOISE_MASK;
      }
    }
  }
};

/** {@link Kernels.colorMatrix} */
export const colorMatrix: Kernels["colorMatrix"] = (image, m) => {
  const data = clamped(image.data);
  const [m00, m01, m02, o0, m10, m11, m12, o1, m20, m21, m22, o2] = m as unknown as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let i = 0; i + 2 < data.length; i += 3) {
    const r = data[i]!;
    const g = data[i + 1]!;
    const b = data[i + 2]!;
    const x = (m00 * r + m01 * g + m02 * b + o0 + 2048) >> 12;
    const y = (m10 * r + m11 * g + m12 * b + o1 + 2048) >> 12;
    const z = (m20 * r + m21 * g + m22 * b + o2 + 2048) >> 12;
    data[i] = x;
    data[i + 1] = y;
    data[i + 2] = z;
  }
};

/** {@link Kernels.mix} */
export const mix: Kernels["mix"] = ({ data }, other, weight) => {
  const b = other.data;
  const rest = 32768 - weight;
  for (let i = 0; i < data.length; i++) data[i] = (data[i]! * weight + b[i]! * rest + 16384) >> 15;
};

/** Transmittance of one output row from the half-resolution plane, 0..256. */
export function veilRow(
  plane: Uint16Array,
  planeWidth: number,
  planeHeight: number,
  y: number,
  width: number,
  row: Int32Array,
  out: Int16Array,
): void {
  // Row y lies at (y + 0.5) / 2 - 0.5 of the plane: a quarter before or behind row y >> 1.
  const near = y >> 1;
  const far = Math.min(planeHeight - 1, Math.max(0, (y & 1) === 0 ? near - 1 : near + 1));
  const a = near * planeWidth;
  const b = far * planeWidth;
  for (let j = 0; j < planeWidth; j++) row[j] = 3 * plane[a + j]! + plane[b + j]!;
  const last = planeWidth - 1;
  for (let j = 0, x = 0; x < width; j++, x += 2) {
    const here = 3 * row[j]!;
    out[x] = (here + row[j === 0 ? 0 : j - 1]! + 8) >> 4;
    if (x + 1 < width) out[x + 1] = (here + row[j === last ? last : j + 1]! + 8) >> 4;
  }
}

/** {@link Kernels.veil} */
export const veil: Kernels["veil"] = (image, plane, color) => {
  const { width, height, channels, data } = image;
  const planeWidth = (width + 1) >> 1;
  const planeHeight = (height + 1) >> 1;
  const row = new Int32Array(planeWidth);
  const t = new Int16Array(width + 1);
  const [c0 = 0, c1 = c0, c2 = c0] = color;
  for (let y = 0, i = 0; y < height; y++) {
    veilRow(plane, planeWidth, planeHeight, y, width, row, t);
    if (channels === 3) {
      for (let x = 0; x < width; x++, i += 3) {
        const through = t[x]!;
        if (through === 256) continue;
        const rest = 256 - through;
        data[i] = (data[i]! * through + c0 * rest + 128) >> 8;
        data[i + 1] = (data[i + 1]! * through + c1 * rest + 128) >> 8;
        data[i + 2] = (data[i + 2]! * through + c2 * rest + 128) >> 8;
      }
    } else {
      for (let x = 0; x < width; x++) {
        const through = t[x]!;
        const rest = 256 - through;
        for (let c = 0; c < channels; c++, i++) data[i] = (data[i]! * through + (color[c] ?? c0) * rest + 128) >> 8;
      }
    }
  }
};
