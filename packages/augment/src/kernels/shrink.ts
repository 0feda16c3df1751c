import type { SourceImage } from "./work-image.js";

/** Below this scale bilinear sampling skips pixels; the source is first averaged over whole blocks. */
const MIN_BILINEAR_SCALE = 0.6;

/** Block side that leaves a scale near 1. */
export function blockSide(scale: number): number {
  return scale < MIN_BILINEAR_SCALE ? Math.max(1, Math.round(1 / Math.max(scale, 1 / 64))) : 1;
}

/** Averages blocks of bx x by pixels, rounded; the last block of a row or column averages what is there. */
export function shrinkByBlocks({ width, height, channels, data }: SourceImage, bx: number, by: number): SourceImage {
  const outWidth = Math.ceil(width / bx);
  const outHeight = Math.ceil(height / by);
  const rowValues = outWidth * channels;
  const out = new Uint8Array(rowValues * outHeight);
  if (channels === 3 && bx === 2 && by === 2 && width % 2 === 0 && height % 2 === 0) {
    // The usual case of training at scales from 0.5.
    const stride = width * 3;
    for (let y = 0, o = 0; y < outHeight; y++) {
      let p = 2 * y * stride;
      for (let x = 0; x < outWidth; x++, p += 6, o += 3) {
        const q = p + stride;
        out[o] = (data[p]! + data[p + 3]! + data[q]! + data[q + 3]! + 2) >> 2;
        out[o + 1] = (data[p + 1]! + data[p + 4]! + data[q + 1]! + data[q + 4]! + 2) >> 2;
        out[o + 2] = (data[p + 2]! + data[p + 5]! + data[q + 2]! + data[q + 5]! + 2) >> 2;
      }
    }
    return { width: outWidth, height: outHeight, channels, data: out };
  }
  const sums = new Int32Array(rowValues);
  for (let y = 0; y < outHeight; y++) {
    sums.fill(0);
    const rows = Math.min(by, height - y * by);
    for (let r = 0; r < rows; r++) {
      let p = (y * by + r) * width * channels;
      for (let x = 0, o = 0; x < outWidth; x++, o += channels) {
        const end = p + Math.min(bx, width - x * bx) * channels;
        if (channels === 3) {
          let a = 0;
          let b = 0;
          let c = 0;
          for (; p < end; p += 3) {
            a += data[p]!;
            b += data[p + 1]!;
            c += data[p + 2]!;
          }
          sums[o]! += a;
          sums[o + 1]! += b;
          sums[o + 2]! += c;
        } else for (; p < end; p += channels) for (let c = 0; c < channels; c++) sums[o + c]! += data[p + c]!;
      }
    }
    for (let x = 0, o = 0; x < outWidth; x++) {
      const n = rows * Math.min(bx, width - x * bx);
      const half = n >> 1;
      for (let c = 0; c < channels; c++, o++) out[y * rowValues + o] = (sums[o]! + half) / n;
    }
  }
  return { width: outWidth, height: outHeight, channels, data: out };
}
