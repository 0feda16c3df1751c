import { clamped } from "./clamped.js";
import type { Kernels } from "./kernels.js";
import { reflect101 } from "./pad.js";

let lumaPlane = new Uint8Array(0);

/** Bytes 0 and 2 of a word, as lanes of 16 bits. */
const LANES = 0xff00ff;

/**
 * {@link Kernels.clahe}: contrast limited adaptive histogram equalisation (Zuiderveld 1994). Luma Y = (77 R + 150 G + 29 B) / 256 (the
 * channel itself for one channel); per tile a histogram clipped at max(1, clipLimit * tileArea / 256), the excess spread evenly, its running
 * sum as table; between tile centres tables are interpolated bilinearly; the change of Y is added to every channel. Sizes that tiles do not
 * divide are padded reflect101 on the right and bottom.
 */
export const clahe: Kernels["clahe"] = (image, clipLimit, columns, rows) => {
  const { width, height, channels, data } = image;
  const n = width * height;
  const out = clamped(data);
  if (lumaPlane.length < n) lumaPlane = new Uint8Array(n);
  const luma = lumaPlane;
  if (channels === 3) {
    for (let i = 0, p = 0; i < n; i++, p += 3) {
      luma[i] = (77 * data[p]! + 150 * data[p + 1]! + 29 * data[p + 2]! + 128) >> 8;
    }
  } else {
    for (let i = 0, p = 0; i < n; i++, p += channels) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += data[p + c]!;
      luma[i] = sum / channels + 0.5;
    }
  }
  const tileWidth = Math.ceil(width / columns);
  const tileHeight = Math.ceil(height / rows);
  const tables = equalisingTables({ luma, width, height, tileWidth, tileHeight, columns, rows, clipLimit });
  const cells = cellTables(tables, columns, rows);
  const { weight } = tileWeights(width, columns);
  // Columns between the same two tile centres: from ends[k - 1] to ends[k].
  const ends = new Int32Array(columns + 1).fill(width);
  for (let x = width - 1, k = columns; x >= 0; x--) {
    const cell = Math.floor(x / tileWidth - 0.5) + 1;
    for (; k > cell; k--) ends[k - 1] = x + 1;
  }
  for (let y = 0, i = 0, p = 0; y < height; y++) {
    const at = y / tileHeight - 0.5;
    const low = Math.floor(at);
    const w = Math.round((at - low) * 256);
    const base = (low + 1) * (columns + 1) * 256;
    for (let k = 0, x = 0; k <= columns; k++) {
      const cell = base + k * 256;
      for (const end = ends[k]!; x < end; x++, i++) {
        const v = luma[i]!;
        const h = weight[x]!;
        const corners = cells[cell + v]!;
        // Upper and lower corner in lanes of 16 bits: 255 * 256 fits.
        const left = corners & LANES;
        const both = ((left << 8) + Math.imul(((corners >>> 8) & LANES) - left, h)) | 0;
        const upper = both & 0xffff;
        const delta = (((upper << 8) + Math.imul((both >>> 16) - upper, w) + 32768) >> 16) - v;
        if (channels === 3) {
          out[p] = out[p]! + delta;
          out[p + 1] = out[p + 1]! + delta;
          out[p + 2] = out[p + 2]! + delta;
          p += 3;
        } else for (let c = 0; c < channels; c++, p++) out[p] = out[p]! + delta;
      }
    }
  }
};

/**
 * The tables of the four tiles around each cell between tile centres (one more cell than tiles, each way; the border repeats), four bytes an
 * entry: upper left, upper right, lower left, lower right. One load then gives all that a pixel interpolates between.
 */
function cellTables(tables: Uint8Array, columns: number, rows: number): Int32Array {
  const cells = new Int32Array((columns + 1) * (rows + 1) * 256);
  for (let r = 0, o = 0; r <= rows; r++) {
    const above = Math.max(0, r - 1) * columns;
    const below = Math.min(rows - 1, r) * columns;
    for (let k = 0; k <= columns; k++) {
      const west = Math.max(0, k - 1);
      const east = Math.min(columns - 1, k);
      const a = (above + west) * 256;
      const b = (above + east) * 256;
      const c = (below + west) * 256;
      const d = (below + east) * 256;
      for (let v = 0; v < 256; v++, o++) {
        cells[o] = tables[a + v]! | (tables[b + v]! << 8) | (tables[c + v]! << 16) | (tables[d + v]! << 24);
      }
    }
  }
  return cells;
}

/** The two tile columns that a pixel column lies between, as offsets of their tables, and the weight of the second, 0..256. */
export function tileWeights(
  width: number,
  columns: number,
): { tileA: Int32Array; tileB: Int32Array; weight: Int32Array } {
  const tileWidth = Math.ceil(width / columns);
  const tileA = new Int32Array(width);
  const tileB = new Int32Array(width);
  const weight = new Int32Array(width);
  for (let x = 0; x < width; x++) {
    const at = x / tileWidth - 0.5;
    const low = Math.floor(at);
    tileA[x] = Math.max(0, low) * 256;
    tileB[x] = Math.min(columns - 1, low + 1) * 256;
    weight[x] = Math.round((at - low) * 256);
  }
  return { tileA, tileB, weight };
}

/** One table of 256 entries per tile: the clipped, redistributed histogram's running sum. */
export function equalisingTables({
  luma,
  width,
  height,
  tileWidth,
  tileHeight,
  columns,
  rows,
  clipLimit,
}: {
  luma: Uint8Array;
  width: number;
  height: number;
  tileWidth: number;
  tileHeight: number;
  columns: number;
  rows: number;
  clipLimit: number;
}): Uint8Array {
  const tables = new Uint8Array(columns * rows * 256);
  const histogram = new Int32Array(256);
  // Neighbours are often alike: two histograms in turns do not wait for each other's increment.
  const other = new Int32Array(256);
  const area = tileWidth * tileHeight;
  const limit = Math.max(1, Math.floor((clipLimit * area) / 256));
  for (let ty = 0; ty < rows; ty++) {
    for (let tx = 0; tx < columns; tx++) {
      histogram.fill(0);
      other.fill(0);
      const x0 = tx * tileWidth;
      const inner = Math.min(width, x0 + tileWidth);
      for (let y = ty * tileHeight; y < (ty + 1) * tileHeight; y++) {
        const base = (y < height ? y : reflect101(y, height)) * width;
        let x = base + x0;
        for (const end = base + inner - 1; x < end; x += 2) {
          histogram[luma[x]!]!++;
          other[luma[x + 1]!]!++;
        }
        if (x < base + inner) histogram[luma[x]!]!++;
        for (x = Math.max(inner, x0); x < x0 + tileWidth; x++) histogram[luma[base + reflect101(x, width)]!]!++;
      }
      let excess = 0;
      for (let v = 0; v < 256; v++) {
        histogram[v]! += other[v]!;
        const over = histogram[v]! - limit;
        if (over > 0) {
          excess += over;
          histogram[v] = limit;
        }
      }
      const each = excess >> 8;
      let rest = excess - (each << 8);
      for (let v = 0; v < 256; v++) histogram[v]! += each;
      // The remainder goes to evenly spaced levels.
      for (let v = 0, step = Math.max(1, Math.floor(256 / Math.max(1, rest))); v < 256 && rest > 0; v += step, rest--) {
        histogram[v]!++;
      }
      let sum = 0;
      const at = (ty * columns + tx) * 256;
      for (let v = 0; v < 256; v++) {
        sum += histogram[v]!;
        tables[at + v] = Math.min(255, Math.round((sum * 255) / area));
      }
    }
  }
  return tables;
}
