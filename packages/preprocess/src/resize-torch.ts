import { PreprocessError } from "./errors.js";
import { checkSize } from "./sizes.js";

/** Two-tap (or, composed, up to four-tap) linear sampling along one axis: output i = sum over t of weights[i * taps + t] * input[start[i] + t]. */
export interface LinearTaps {
  readonly taps: number;
  readonly start: Int32Array;
  readonly weights: Float64Array;
}

/** `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` along one axis; positions in float32 as torch computes them. */
export function bilinearTaps(inSize: number, outSize: number): LinearTaps {
  const start = new Int32Array(outSize);
  const weights = new Float64Array(outSize * 2);
  const scale = Math.fround(inSize / outSize);
  for (let d = 0; d < outSize; d++) {
    const src = inSize === outSize ? d : Math.max(0, Math.fround(Math.fround(scale * (d + 0.5)) - 0.5));
    const low = Math.min(Math.floor(src), inSize - 1);
    const fraction = low + 1 < inSize ? Math.fround(src - low) : 0;
    // Keep both taps inside the input: at the far border the window moves back by one.
    if (low + 1 < inSize || inSize === 1) {
      start[d] = low;
      weights[d * 2] = 1 - fraction;
      weights[d * 2 + 1] = fraction;
    } else {
      start[d] = low - 1;
      weights[d * 2] = 0;
      weights[d * 2 + 1] = 1;
    }
  }
  return { taps: inSize === 1 ? 1 : 2, start, weights: inSize === 1 ? new Float64Array(outSize).fill(1) : weights };
}

/**
 * `interpolate(mode="bilinear", antialias=True)` along one axis: Pillow's triangle of radius max(1, in / out) around (d + 0.5) * in / out,
 * normalised, in double precision.
 */
export function antialiasTaps(inSize: number, outSize: number): LinearTaps {
  const scale = inSize / outSize;
  const filterScale = Math.max(1, scale);
  const first = new Int32Array(outSize);
  const count = new Int32Array(outSize);
  let taps = 1;
  for (let d = 0; d < outSize; d++) {
    const centre = (d + 0.5) * scale;
    first[d] = Math.max(0, Math.trunc(centre - filterScale + 0.5));
    count[d] = Math.min(inSize, Math.trunc(centre + filterScale + 0.5)) - first[d]!;
    taps = Math.max(taps, count[d]!);
  }
  const start = new Int32Array(outSize);
  const weights = new Float64Array(outSize * taps);
  for (let d = 0; d < outSize; d++) {
    const centre = (d + 0.5) * scale;
    // Every window has `taps` inputs: near the far border it moves back, with weights of zero in front.
    start[d] = Math.min(first[d]!, inSize - taps);
    const skip = first[d]! - start[d]!;
    let sum = 0;
    for (let i = 0; i < count[d]!; i++) {
      const a = Math.abs((i + first[d]! - centre + 0.5) / filterScale);
      const weight = a < 1 ? 1 - a : 0;
      weights[d * taps + skip + i] = weight;
      sum += weight;
    }
    for (let i = 0; i < count[d]!; i++) weights[d * taps + skip + i]! /= sum;
  }
  return { taps, start, weights };
}

/** `second` after `first`, as one set of taps on the input of `first`. Exact up to rounding, because both are linear. */
export function composeTaps(first: LinearTaps, second: LinearTaps, inSize: number): LinearTaps {
  const n = second.start.length;
  let taps = 1;
  const ranges = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const from = first.start[second.start[i]!]!;
    const to = first.start[second.start[i]! + second.taps - 1]! + first.taps;
    ranges[i] = from;
    taps = Math.max(taps, to - from);
  }
  taps = Math.min(taps, inSize);
  const start = new Int32Array(n);
  const weights = new Float64Array(n * taps);
  for (let i = 0; i < n; i++) {
    const from = Math.min(ranges[i]!, inSize - taps);
    start[i] = from;
    for (let s = 0; s < second.taps; s++) {
      const middle = second.start[i]! + s;
      const outer = second.weights[i * second.taps + s]!;
      for (let t = 0; t < first.taps; t++) {
        weights[i * taps + first.start[middle]! + t - from]! += outer * first.weights[middle * first.taps + t]!;
      }
    }
  }
  return { taps, start, weights };
}

/** Applies taps along both axes of one row-major plane. */
export function sampleTaps(plane: Float32Array, width: number, x: LinearTaps, y: LinearTaps, out: Float32Array): void {
  const outWidth = x.start.length;
  const outHeight = y.start.length;
  const firstRow = y.start[0]!;
  const rows = y.start[outHeight - 1]! + y.taps - firstRow;
  const middle = new Float32Array(rows * outWidth);
  const xStart = x.start;
  const xWeights = x.weights;
  for (let r = 0; r < rows; r++) {
    const row = (firstRow + r) * width;
    const o = r * outWidth;
    for (let j = 0; j < outWidth; j++) {
      const p = row + xStart[j]!;
      const k = j * x.taps;
      let sum = 0;
      for (let t = 0; t < x.taps; t++) sum += xWeights[k + t]! * plane[p + t]!;
      middle[o + j] = sum;
    }
  }
  for (let i = 0; i < outHeight; i++) {
    const o = i * outWidth;
    const base = (y.start[i]! - firstRow) * outWidth;
    for (let t = 0; t < y.taps; t++) {
      const w = y.weights[i * y.taps + t]!;
      const p = base + t * outWidth;
      if (t === 0) for (let j = 0; j < outWidth; j++) out[o + j] = w * middle[p + j]!;
      else if (w !== 0) for (let j = 0; j < outWidth; j++) out[o + j]! += w * middle[p + j]!;
    }
  }
}

/**
 * `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` on float32 planes, with or without antialiasing (Pillow's weights
 * without its rounding). Agrees with torch to float32 rounding (about 1e-6 relative).
 *
 * @param data - [planes, height, width], row-major
 * @returns [planes, outHeight, outWidth]
 * @throws PreprocessError `zero_dimension`, `config_invalid` when `data` has another length
 */
export function resizeTorchBilinear({
  data,
  planes = 1,
  width,
  height,
  outWidth,
  outHeight,
  antialias = false,
}: {
  data: Float32Array;
  /** @defaultValue 1 */
  planes?: number;
  width: number;
  height: number;
  outWidth: number;
  outHeight: number;
  /** Average over the source area when shrinking. @defaultValue false */
  antialias?: boolean;
}): Float32Array {
  checkSize(width, height);
  checkSize(outWidth, outHeight);
  if (data.length !== planes * width * height) {
    throw new PreprocessError({
      code: "config_invalid",
      message: `resizeTorchBilinear got ${data.length} values for ${planes} x ${height} x ${width}, expected ${planes * width * height}.`,
    });
  }
  if (width === outWidth && height === outHeight) return data.slice();
  const axis = antialias ? antialiasTaps : bilinearTaps;
  const x = axis(width, outWidth);
  const y = axis(height, outHeight);
  const out = new Float32Array(planes * outWidth * outHeight);
  for (let c = 0; c < planes; c++) {
    const from = data.subarray(c * width * height, (c + 1) * width * height);
    sampleTaps(from, width, x, y, out.subarray(c * outWidth * outHeight, (c + 1) * outWidth * outHeight));
  }
  return out;
}
