import type { RgbImage } from "@seg/coco-dataset";
import type { Triple } from "./chw.js";
import {
  Arena,
  align,
  BLOCK_ROWS,
  chunkRowsOf,
  MEMORY_LIMIT,
  SLACK,
  slideWindow,
  windowRowsOf,
} from "./kernel-memory.js";
import { antialiasTaps, type LinearTaps } from "./resize-torch.js";
import { type SimdKernels, simdKernels } from "./simd-kernels.js";

/** What {@link resizeFloatAntialias} is asked for. */
interface FloatResize {
  readonly image: RgbImage;
  readonly width: number;
  readonly height: number;
  /** In 0..1. */
  readonly mean: Triple;
  /** In 0..1. */
  readonly std: Triple;
  /** float32 [3, height, width] */
  readonly out: Float32Array;
}

/** value * scale + shift of 0..255, float32. */
function affineOf(mean: Triple, std: Triple): { scale: number[]; shift: number[] } {
  return {
    scale: [0, 1, 2].map((c) => Math.fround(1 / (255 * std[c]!))),
    shift: [0, 1, 2].map((c) => Math.fround(-mean[c]! / std[c]!)),
  };
}

/**
 * RGB uint8 -> normalised planar float32 of another size, antialiased bilinear with torch's weights and no rounding between the passes:
 * (value / 255 - mean) / std, all sums in float32 and in the order of the taps. Rows stream through a window, so memory does not grow
 * with the picture.
 */
export function resizeFloatAntialias(request: FloatResize): void {
  const kernels = simdKernels();
  if (kernels === null || !resizeFloatSimd(kernels, request)) resizeFloatScalar(request);
}

function resizeFloatSimd(kernels: SimdKernels, { image, width, height, mean, std, out }: FloatResize): boolean {
  const x = antialiasTaps(image.width, width);
  const y = antialiasTaps(image.height, height);
  const srcStride = image.width * 3;
  const outWidth = (width + 3) & ~3;
  const stride = align(outWidth * 12 + SLACK);
  const chunkRows = chunkRowsOf(image);
  const planeBytes = BLOCK_ROWS * outWidth * 4;
  const arena = new Arena(kernels);
  const src = arena.take(chunkRows * srcStride);
  const window = arena.take(windowRowsOf(image.height, height, y.taps) * stride);
  const planes = arena.take(3 * planeBytes);
  const starts = arena.take(width * 4);
  const weights = arena.take(width * x.taps * 4);
  const verticalWeights = arena.take(height * y.taps * 4);
  const affine = arena.take(24 * 4);
  if (arena.size > MEMORY_LIMIT) return false;
  const bytes = arena.bytes();
  const floats = new Float32Array(bytes.buffer);
  new Int32Array(bytes.buffer).set(
    x.start.map((pixel) => pixel * 3),
    starts >> 2,
  );
  floats.set(x.weights, weights >> 2);
  floats.set(y.weights, verticalWeights >> 2);
  const { scale, shift } = affineOf(mean, std);
  for (let i = 0; i < 12; i++) {
    floats[(affine >> 2) + i] = scale[i % 3]!;
    floats[(affine >> 2) + 12 + i] = shift[i % 3]!;
  }
  slideWindow({
    bytes,
    window,
    stride,
    height,
    chunkRows,
    firstOf: (row) => y.start[row]!,
    endOf: (row) => y.start[row]! + y.taps,
    make: (row, count, address) => {
      bytes.set(image.data.subarray(row * srcStride, (row + count) * srcStride), src);
      kernels.floatHorizontal(src, srcStride, address, stride, count, width, starts, weights, x.taps);
    },
    finish: (row, rows, addressOf) => {
      for (let r = 0; r < rows; r++) {
        const from = addressOf(y.start[row + r]!);
        const rowWeights = verticalWeights + (row + r) * y.taps * 4;
        const to = planes + r * outWidth * 4;
        kernels.floatVertical(from, stride, to, planeBytes, outWidth, rowWeights, y.taps, affine);
      }
      for (let c = 0; c < 3; c++) {
        for (let r = 0; r < rows; r++) {
          const from = (planes + c * planeBytes + r * outWidth * 4) >> 2;
          out.set(floats.subarray(from, from + width), (c * height + row + r) * width);
        }
      }
    },
  });
  return true;
}

/** {@link resizeFloatAntialias} in plain TypeScript: where WebAssembly SIMD is missing, and what its kernels are tested against. */
export function resizeFloatScalar({ image, width, height, mean, std, out }: FloatResize): void {
  const x = antialiasTaps(image.width, width);
  const y = antialiasTaps(image.height, height);
  const xWeights = Float32Array.from(x.weights);
  const yWeights = Float32Array.from(y.weights);
  const stride = width * 3;
  const ring = new Float32Array(y.taps * stride);
  const sums = new Float32Array(stride);
  const { scale, shift } = affineOf(mean, std);
  const plane = width * height;
  let next = 0;
  for (let row = 0; row < height; row++) {
    const first = y.start[row]!;
    for (next = Math.max(next, first); next < first + y.taps; next++) {
      horizontalRow(image, next, x, xWeights, ring, (next % y.taps) * stride);
    }
    sums.fill(0);
    for (let t = 0; t < y.taps; t++) {
      const weight = yWeights[row * y.taps + t]!;
      const from = ((first + t) % y.taps) * stride;
      for (let i = 0; i < stride; i++) sums[i] = sums[i]! + Math.fround(weight * ring[from + i]!);
    }
    for (let c = 0; c < 3; c++) {
      const k = scale[c]!;
      const b = shift[c]!;
      for (let i = c, o = c * plane + row * width; i < stride; i += 3, o++) out[o] = Math.fround(sums[i]! * k) + b;
    }
  }
}

function horizontalRow(
  { data, width }: RgbImage,
  row: number,
  { taps, start }: LinearTaps,
  weights: Float32Array,
  out: Float32Array,
  at: number,
): void {
  const from = row * width * 3;
  for (let i = 0, o = at; i < start.length; i++, o += 3) {
    let p = from + start[i]! * 3;
    let r = 0;
    let g = 0;
    let b = 0;
    for (let k = i * taps; k < (i + 1) * taps; k++, p += 3) {
      const w = weights[k]!;
      r = Math.fround(r + Math.fround(w * data[p]!));
      g = Math.fround(g + Math.fround(w * data[p + 1]!));
      b = Math.fround(b + Math.fround(w * data[p + 2]!));
    }
    out[o] = r;
    out[o + 1] = g;
    out[o + 2] = b;
  }
}
