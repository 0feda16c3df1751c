import type { RgbImage } from "@seg/coco-dataset";
import { type Cv2Table, cv2Table } from "./cv2-table.js";
import { resizeSimd } from "./resample-simd.js";
import { checkImage, checkSize } from "./sizes.js";

/** One source row resized along x, each sum shifted right by 4 as the vertical step wants it (fits 15 bits). */
function horizontalRow(src: Uint8Array, row: number, { low, high, weightLow, weightHigh }: Cv2Table, out: Int32Array) {
  const width = low.length;
  for (let x = 0, o = 0; x < width; x++, o += 3) {
    const p = row + low[x]!;
    const q = row + high[x]!;
    const a = weightLow[x]!;
    const b = weightHigh[x]!;
    out[o] = (Math.imul(src[p]!, a) + Math.imul(src[q]!, b)) >> 4;
    out[o + 1] = (Math.imul(src[p + 1]!, a) + Math.imul(src[q + 1]!, b)) >> 4;
    out[o + 2] = (Math.imul(src[p + 2]!, a) + Math.imul(src[q + 2]!, b)) >> 4;
  }
}

/** {@link resizeCv2Linear} in plain TypeScript: where WebAssembly SIMD is missing, and what its kernels are tested against. */
export function resizeCv2Scalar(image: RgbImage, width: number, height: number): RgbImage {
  const src = image.data;
  const xTable = cv2Table(image.width, width, "x");
  const yTable = cv2Table(image.height, height, "y");
  const stride = width * 3;
  const data = new Uint8Array(height * stride);
  // The two source rows in use, each computed once.
  let rowA = new Int32Array(stride);
  let rowB = new Int32Array(stride);
  let inA = -1;
  let inB = -1;
  for (let y = 0; y < height; y++) {
    const low = yTable.low[y]!;
    const high = yTable.high[y]!;
    if (inA !== low) {
      if (inB === low) {
        const swap = rowA;
        rowA = rowB;
        rowB = swap;
        inB = inA;
      } else {
        horizontalRow(src, low * image.width * 3, xTable, rowA);
      }
      inA = low;
    }
    let upper = rowA;
    if (high !== low) {
      if (inB !== high) {
        horizontalRow(src, high * image.width * 3, xTable, rowB);
        inB = high;
      }
      upper = rowB;
    }
    const b0 = yTable.weightLow[y]!;
    const b1 = yTable.weightHigh[y]!;
    const o = y * stride;
    const lower = rowA;
    for (let i = 0; i < stride; i++) {
      data[o + i] = ((Math.imul(lower[i]!, b0) >> 16) + (Math.imul(upper[i]!, b1) >> 16) + 2) >> 2;
    }
  }
  return { width, height, data };
}

/**
 * Bit-exact `cv2.resize(..., interpolation=INTER_LINEAR)` on RGB uint8 (OpenCV 5.0, x64): no antialiasing, 11-bit fixed point.
 *
 * @returns a new image; never aliases the input
 * @throws PreprocessError `zero_dimension`
 */
export function resizeCv2Linear(image: RgbImage, width: number, height: number): RgbImage {
  checkImage(image);
  checkSize(width, height);
  if (width === image.width && height === image.height) return { width, height, data: image.data.slice() };
  return resizeSimd(image, { kernel: "cv2", width, height }) ?? resizeCv2Scalar(image, width, height);
}
