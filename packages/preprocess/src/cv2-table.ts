import { rintEven } from "./rounding.js";

/** 11-bit weights of OpenCV's uint8 bilinear kernel. */
const WEIGHT_ONE = 2048;

/** One axis of OpenCV's bilinear kernel. */
export interface Cv2Table {
  /** Lower and upper source index of each output, already multiplied by `step`. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly weightLow: Int32Array;
  readonly weightHigh: Int32Array;
}

/** Source size over output size; OpenCV computes it by way of the inverse, which can differ in the last bit. */
export const cv2Scale = (inSize: number, outSize: number): number => 1 / (outSize / inSize);

const cache = new Map<string, Cv2Table>();
const CACHE_ENTRIES = 64;

/** The x axis drops the fraction at both borders, the y axis keeps it and clamps the rows: the two give the same pixels, not the same sums. */
export function cv2Table(inSize: number, outSize: number, axis: "x" | "y"): Cv2Table {
  const key = `${inSize},${outSize},${axis}`;
  const known = cache.get(key);
  if (known !== undefined) {
    cache.delete(key);
    cache.set(key, known);
    return known;
  }
  const step = axis === "x" ? 3 : 1;
  const scale = cv2Scale(inSize, outSize);
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
