import type { RgbImage } from "@seg/coco-dataset";
import { type PillowCoefficients, type PillowFilter, PRECISION, pillowCoefficients } from "./pillow-coefficients.js";
import { resizeSimd } from "./resample-simd.js";
import { checkImage, checkSize } from "./sizes.js";

const HALF = 1 << (PRECISION - 1);

/** Rows [rowFrom, rowTo) of `src`, resized along x. The clamped output serves filters with negative lobes. */
function horizontalPass(
  src: Uint8Array,
  inWidth: number,
  outWidth: number,
  rowFrom: number,
  rowTo: number,
  { start, count, taps, weights }: PillowCoefficients,
): Uint8ClampedArray {
  const out = new Uint8ClampedArray((rowTo - rowFrom) * outWidth * 3);
  let o = 0;
  for (let y = rowFrom; y < rowTo; y++) {
    const row = y * inWidth * 3;
    for (let x = 0; x < outWidth; x++) {
      const n = count[x]!;
      let p = row + start[x]! * 3;
      let k = x * taps;
      const end = k + n;
      let r = HALF;
      let g = HALF;
      let b = HALF;
      for (; k < end; k++, p += 3) {
        const w = weights[k]!;
        r = (r + Math.imul(src[p]!, w)) | 0;
        g = (g + Math.imul(src[p + 1]!, w)) | 0;
        b = (b + Math.imul(src[p + 2]!, w)) | 0;
      }
      out[o] = r >> PRECISION;
      out[o + 1] = g >> PRECISION;
      out[o + 2] = b >> PRECISION;
      o += 3;
    }
  }
  return out;
}

/** `src` starts at image row `rowFrom`. */
function verticalPass(
  src: Uint8Array | Uint8ClampedArray,
  stride: number,
  outHeight: number,
  rowFrom: number,
  { start, count, taps, weights }: PillowCoefficients,
): Uint8ClampedArray {
  const out = new Uint8ClampedArray(outHeight * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < outHeight; y++) {
    const n = count[y]!;
    const k = y * taps;
    const o = y * stride;
    let p = (start[y]! - rowFrom) * stride;
    if (n === 1) {
      const w = weights[k]!;
      for (let i = 0; i < stride; i++) out[o + i] = (HALF + Math.imul(src[p + i]!, w)) >> PRECISION;
      continue;
    }
    if (n === 2) {
      const w0 = weights[k]!;
      const w1 = weights[k + 1]!;
      const q = p + stride;
      for (let i = 0; i < stride; i++) {
        out[o + i] = (HALF + Math.imul(src[p + i]!, w0) + Math.imul(src[q + i]!, w1)) >> PRECISION;
      }
      continue;
    }
    // Row by row into an accumulator: sequential reads; two rows at a time halve its traffic.
    sums.fill(HALF);
    let t = 0;
    for (; t + 1 < n; t += 2) {
      const w0 = weights[k + t]!;
      const w1 = weights[k + t + 1]!;
      const q = p + stride;
      for (let i = 0; i < stride; i++) {
        sums[i] = (sums[i]! + Math.imul(src[p + i]!, w0) + Math.imul(src[q + i]!, w1)) | 0;
      }
      p = q + stride;
    }
    if (t < n) {
      const w = weights[k + t]!;
      for (let i = 0; i < stride; i++) sums[i] = (sums[i]! + Math.imul(src[p + i]!, w)) | 0;
    }
    for (let i = 0; i < stride; i++) out[o + i] = sums[i]! >> PRECISION;
  }
  return out;
}

/** Pillow adds the step instead of multiplying; the sums decide ties, so the same is done here. */
function nearestIndices(inSize: number, outSize: number): Int32Array {
  const step = inSize / outSize;
  const out = new Int32Array(outSize);
  let at = step * 0.5;
  for (let i = 0; i < outSize; i++, at += step) out[i] = Math.min(inSize - 1, Math.trunc(at));
  return out;
}

/** Nearest neighbour as Pillow's NEAREST. */
export function resizeNearest(image: RgbImage, width: number, height: number): RgbImage {
  checkImage(image);
  checkSize(width, height);
  const xs = nearestIndices(image.width, width);
  const ys = nearestIndices(image.height, height);
  const data = new Uint8Array(width * height * 3);
  let o = 0;
  for (let y = 0; y < height; y++) {
    const row = ys[y]! * image.width;
    for (let x = 0; x < width; x++, o += 3) {
      const p = (row + xs[x]!) * 3;
      data[o] = image.data[p]!;
      data[o + 1] = image.data[p + 1]!;
      data[o + 2] = image.data[p + 2]!;
    }
  }
  return { width, height, data };
}

/** {@link resizePillow} in plain TypeScript: where WebAssembly SIMD is missing, and what its kernels are tested against. */
export function resizePillowScalar(
  image: RgbImage,
  width: number,
  height: number,
  filter: Exclude<PillowFilter, "nearest">,
): RgbImage {
  let pixels: Uint8Array | Uint8ClampedArray = image.data;
  const vertical = height === image.height ? null : pillowCoefficients(image.height, height, filter);
  let rowFrom = 0;
  if (width !== image.width) {
    let rowTo = image.height;
    if (vertical !== null) {
      rowFrom = vertical.start[0]!;
      rowTo = vertical.start[height - 1]! + vertical.count[height - 1]!;
    }
    const horizontal = pillowCoefficients(image.width, width, filter);
    pixels = horizontalPass(image.data, image.width, width, rowFrom, rowTo, horizontal);
  }
  if (vertical !== null) pixels = verticalPass(pixels, width * 3, height, rowFrom, vertical);
  return { width, height, data: new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.length) };
}

/**
 * Bit-exact `PIL.Image.resize((width, height), filter)` on RGB uint8 (Pillow 12): antialiased, horizontal pass first, 22-bit fixed point,
 * uint8 between the passes. A pass that does not change its size is skipped.
 *
 * @returns a new image; never aliases the input
 * @throws PreprocessError `zero_dimension`
 */
export function resizePillow(
  image: RgbImage,
  width: number,
  height: number,
  { filter = "bilinear" }: { filter?: PillowFilter } = {},
): RgbImage {
  if (filter === "nearest") return resizeNearest(image, width, height);
  checkImage(image);
  checkSize(width, height);
  if (width === image.width && height === image.height) return { width, height, data: image.data.slice() };
  return (
    resizeSimd(image, { kernel: "pillow", filter, width, height }) ?? resizePillowScalar(image, width, height, filter)
  );
}
