import { clamped } from "./clamped.js";
import type { Kernels } from "./kernels.js";
import { reflect101 } from "./pad.js";

let lumaPlane = new Uint8Array(0);

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
    for (let i = 0, p = 0; i < n; i++, p += 3)
      luma[i] = (77 * data[p]! + 150 * data[p + 1]! + 29 * data[p + 2]! + 128) >> 8;
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
  // Vertical interpolation once per row and tile column, 8 bits more; then two look-ups per pixel.
  const rowTables = new Int32Array(columns * 256);
  const { tileA, tileB, weight } = tileWeights(width, columns);
  for (let y = 0, i = 0, p = 0; y < height; y++) {
    const at = y / tileHeight - 0.5;
    const low = Math.floor(at);
    const a = Math.max(0, low) * columns * 256;
    const b = Math.min(rows - 1, low + 1) * columns * 256;
    const w = Math.round((at - low) * 256);
    for (let k = 0; k < rowTables.length; k++) rowTables[k] = tables[a + k]! * (256 - w) + tables[b + k]! * w;
    for (let x = 0; x < width; x++, i++) {
      const v = luma[i]!;
      const h = weight[x]!;
      const mapped = (rowTables[tileA[x]! + v]! * (256 - h) + rowTables[tileB[x]! + v]! * h + 32768) >> 16;
      const delta = mapped - v;
      if (channels === 3) {
        out[p] = out[p]! + delta;
        out[p + 1] = out[p + 1]! + delta;
        out[p + 2] = out[p + 2]! + delta;
        p += 3;
      } else for (let c = 0; c < channels; c++, p++) out[p] = out[p]! + delta;
    }
  }
};

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
  const area = tileWidth * tileHeight;
  const limit = Math.max(1, Math.floor((clipLimit * area) / 256));
  for (let ty = 0; ty < rows; ty++) {
    for (let tx = 0; tx < columns; tx++) {
      histogram.fill(0);
      const x0 = tx * tileWidth;
      const inner = Math.min(width, x0 + tileWidth);
      for (let y = ty * tileHeight; y < (ty + 1) * tileHeight; y++) {
        const base = (y < height ? y : reflect101(y, height)) * width;
        for (let x = x0; x < inner; x++) histogram[luma[base + x]!]!++;
        for (let x = Math.max(inner, x0); x < x0 + tileWidth; x++) histogram[luma[base + reflect101(x, width)]!]!++;
      }
      let excess = 0;
      for (let v = 0; v < 256; v++) {
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
