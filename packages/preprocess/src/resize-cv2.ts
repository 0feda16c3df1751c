import type { RgbImage } from "@seg/coco-dataset";
import { rintEven } from "./rounding.js";
import { checkImage, checkSize } from "./sizes.js";

/** 11-bit weights of OpenCV's uint8 bilinear kernel. */
const WEIGHT_ONE = 2048;

interface AxisTable {
  /** Lower and upper source index of each output, already multiplied by `step`. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly weightLow: Int32Array;
  readonly weightHigh: Int32Array;
}

const cache = new Map<string, AxisTable>();
const CACHE_ENTRIES = 64;

/** The x axis drops the fraction at both borders, the y axis keeps it and clamps the rows: the two give the same pixels, not the same sums. */
function axisTable(inSize: number, outSize: number, axis: "x" | "y"): AxisTable {
  const key = `${inSize},${outSize},${axis}`;
  const known = cache.get(key);
  if (known !== undefined) {
    cache.delete(key);
    cache.set(key, known);
    return known;
  }
  const step = axis === "x" ? 3 : 1;
  const scale = 1 / (outSize / inSize);
  const low = new Int32Array(outSize);
  const high = new Int32Array(outSize);
  const weightLow = new Int32Array(outSize);
  const weightHigh = new Int32Array(outSize);
  for (let d = 0; d < outSize; d++) {
    let f = Math.fround((d + 0.5) * scale - 0.5);
    let s = Math.floor(f);
    f = Math.fround(f - s);
    if (axis === "x" && s < 0) {
      s = 0;
      f = 0;
    } else if (axis === "x" && s >= inSize - 1) {
      s = inSize - 1;
      f = 0;
    }
    low[d] = Math.min(inSize - 1, Math.max(0, s)) * step;
    high[d] = Math.min(inSize - 1, Math.max(0, s + 1)) * step;
    weightLow[d] = rintEven(Math.fround(1 - f) * WEIGHT_ONE);
    weightHigh[d] = rintEven(f * WEIGHT_ONE);
  }
  const made = { low, high, weightLow, weightHigh };
  cache.set(key, made);
  if (cache.size > CACHE_ENTRIES) cache.delete(cache.keys().next().value!);
  return made;
}

/** One source row resized along x, each sum shifted right by 4 as the vertical step wants it (fits 15 bits). */
function horizontalRow(src: Uint8Array, row: number, { low, high, weightLow, weightHigh }: AxisTable, out: Int32Array) {
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
  const src = image.data;
  const xTable = axisTable(image.width, width, "x");
  const yTable = axisTable(image.height, height, "y");
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
