// AssemblyScript. Row kernels of the resamplers with 128-bit SIMD; `npm run build:wasm -- packages/preprocess src/kernels-wasm.ts`
// compiles them.
// Every sum is the integer sum of the TypeScript kernels, so the bytes are equal. The caller lays out the memory; 16 bytes behind
// every row must be readable, 16 behind every output writable.

export {
  jpegBitsRead,
  jpegFullRow,
  jpegGrayRow,
  jpegHalfRow,
  jpegMcus,
  jpegSegment,
  jpegStop,
  jpegUnstuff,
} from "./jpeg";

/** Bytes r0 g0 b0 r1 g1 b1 -> 16-bit r0 r1 g0 g1 b0 b1 0 0: two pixels side by side for a dot product of pairs. */
const PAIRS: v128 = i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
/** Bytes r g b x of four pixels -> 12 bytes without the x. */
const PACK: v128 = i8x16(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
/** 16-bit r g b x r g b x -> r g b r g b. */
const PACK16: v128 = i8x16(0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, -1, -1, -1, -1);

/**
 * One pixel of Pillow's horizontal pass. A weight of 22 bits is split as high * 2^11 + low, both of which fit the 16-bit dot product;
 * the weights of a pair of taps are stored as low0 low1 high0 high1.
 */
function pillowPixel(pixel: usize, weights: usize, end: usize): v128 {
  let low = i32x4.splat(1 << 21);
  let high = i32x4.splat(0);
  while (weights < end) {
    const pair = i8x16.swizzle(v128.load64_zero(pixel), PAIRS);
    low = i32x4.add(low, i32x4.dot_i16x8_s(pair, v128.load32_splat(weights)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(pair, v128.load32_splat(weights, 4)));
    pixel += 6;
    weights += 8;
  }
  return i32x4.shr_s(i32x4.add(low, i32x4.shl(high, 11)), 22);
}

/** The same for one pair of taps, the case of every enlargement. */
function pillowPixel2(pixel: usize, weights: usize): v128 {
  const pair = i8x16.swizzle(v128.load64_zero(pixel), PAIRS);
  const low = i32x4.dot_i16x8_s(pair, v128.load32_splat(weights));
  const high = i32x4.dot_i16x8_s(pair, v128.load32_splat(weights, 4));
  return i32x4.shr_s(i32x4.add(i32x4.add(low, i32x4.splat(1 << 21)), i32x4.shl(high, 11)), 22);
}

function storePixels(out: usize, a: v128, b: v128, c: v128, d: v128): void {
  const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
  v128.store(out, i8x16.swizzle(bytes, PACK));
}

/**
 * Pillow's horizontal pass on `rows` rows. `width` is a multiple of 4 (the table is padded by repeating its last entry).
 * @param starts - byte offset of the first tap of each output pixel, int32
 */
export function pillowHorizontal(
  src: usize,
  srcStride: i32,
  out: usize,
  outStride: i32,
  rows: i32,
  width: i32,
  starts: usize,
  weights: usize,
  pairs: i32,
): void {
  const size = <usize>(pairs * 8);
  for (let y = 0; y < rows; y++) {
    let o = out + <usize>(y * outStride);
    const row = src + <usize>(y * srcStride);
    let s = starts;
    const end = starts + <usize>(width * 4);
    let w = weights;
    if (pairs === 1) {
      for (; s < end; s += 16, o += 12, w += 32) {
        storePixels(
          o,
          pillowPixel2(row + <usize>load<i32>(s), w),
          pillowPixel2(row + <usize>load<i32>(s, 4), w + 8),
          pillowPixel2(row + <usize>load<i32>(s, 8), w + 16),
          pillowPixel2(row + <usize>load<i32>(s, 12), w + 24),
        );
      }
    } else {
      for (; s < end; s += 16, o += 12) {
        const a = pillowPixel(row + <usize>load<i32>(s), w, w + size);
        w += size;
        const b = pillowPixel(row + <usize>load<i32>(s, 4), w, w + size);
        w += size;
        const c = pillowPixel(row + <usize>load<i32>(s, 8), w, w + size);
        w += size;
        const d = pillowPixel(row + <usize>load<i32>(s, 12), w, w + size);
        w += size;
        storePixels(o, a, b, c, d);
      }
    }
  }
}

/** Combines the low and high halves of four sums. */
function finish(low: v128, high: v128): v128 {
  return i32x4.shr_s(i32x4.add(low, i32x4.shl(high, 11)), 22);
}

/** Pillow's vertical pass: one output row of `length` bytes from rows of `stride` bytes, the first at `src`. */
export function pillowVertical(src: usize, stride: i32, out: usize, length: i32, weights: usize, pairs: i32): void {
  const half = i32x4.splat(1 << 21);
  const zero = i32x4.splat(0);
  const end = src + <usize>length;
  const last = weights + <usize>(pairs * 8);
  for (let p = src, o = out; p < end; p += 16, o += 16) {
    let low0 = half;
    let low1 = half;
    let low2 = half;
    let low3 = half;
    let high0 = zero;
    let high1 = zero;
    let high2 = zero;
    let high3 = zero;
    let q = p;
    for (let w = weights; w < last; w += 8) {
      const upper = v128.load(q);
      const lower = v128.load(q + <usize>stride);
      q += <usize>(2 * stride);
      const near = v128.shuffle<i8>(upper, lower, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const far = v128.shuffle<i8>(upper, lower, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const p0 = i16x8.extend_low_i8x16_u(near);
      const p1 = i16x8.extend_high_i8x16_u(near);
      const p2 = i16x8.extend_low_i8x16_u(far);
      const p3 = i16x8.extend_high_i8x16_u(far);
      const low = v128.load32_splat(w);
      const high = v128.load32_splat(w, 4);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(p0, low));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(p0, high));
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(p1, low));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(p1, high));
      low2 = i32x4.add(low2, i32x4.dot_i16x8_s(p2, low));
      high2 = i32x4.add(high2, i32x4.dot_i16x8_s(p2, high));
      low3 = i32x4.add(low3, i32x4.dot_i16x8_s(p3, low));
      high3 = i32x4.add(high3, i32x4.dot_i16x8_s(p3, high));
    }
    v128.store(
      o,
      i8x16.narrow_i16x8_u(
        i16x8.narrow_i32x4_s(finish(low0, high0), finish(low1, high1)),
        i16x8.narrow_i32x4_s(finish(low2, high2), finish(low3, high3)),
      ),
    );
  }
}

/** Two pixels of OpenCV's horizontal step, already shifted right by 4: 16-bit r g b x r g b x. */
function cv2Pixels(row: usize, s: usize, w: usize): v128 {
  const a = i8x16.swizzle(v128.load64_zero(row + <usize>load<i32>(s)), PAIRS);
  const b = i8x16.swizzle(v128.load64_zero(row + <usize>load<i32>(s, 4)), PAIRS);
  return i16x8.narrow_i32x4_s(
    i32x4.shr_s(i32x4.dot_i16x8_s(a, v128.load32_splat(w)), 4),
    i32x4.shr_s(i32x4.dot_i16x8_s(b, v128.load32_splat(w, 4)), 4),
  );
}

/** OpenCV's horizontal step on one row; `out` gets 16-bit sums. `width` is a multiple of 4. Weights: two int16 per output pixel. */
export function cv2Horizontal(row: usize, out: usize, width: i32, starts: usize, weights: usize): void {
  const end = starts + <usize>(width * 4);
  for (let s = starts, w = weights, o = out; s < end; s += 16, w += 16, o += 24) {
    v128.store(o, i8x16.swizzle(cv2Pixels(row, s, w), PACK16));
    v128.store(o, i8x16.swizzle(cv2Pixels(row, s + 8, w + 8), PACK16), 12);
  }
}

/** ((b0 * upper >> 16) + (b1 * lower >> 16) + 2) >> 2 on eight 16-bit sums. */
function cv2Blend(upper: v128, lower: v128, b0: v128, b1: v128): v128 {
  const two = i32x4.splat(2);
  const a = i32x4.add(
    i32x4.shr_s(i32x4.extmul_low_i16x8_s(upper, b0), 16),
    i32x4.shr_s(i32x4.extmul_low_i16x8_s(lower, b1), 16),
  );
  const b = i32x4.add(
    i32x4.shr_s(i32x4.extmul_high_i16x8_s(upper, b0), 16),
    i32x4.shr_s(i32x4.extmul_high_i16x8_s(lower, b1), 16),
  );
  return i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(a, two), 2), i32x4.shr_s(i32x4.add(b, two), 2));
}

/** OpenCV's vertical step: one output row of `length` bytes from two rows of 16-bit sums. */
export function cv2Vertical(
  upper: usize,
  lower: usize,
  out: usize,
  length: i32,
  weightUpper: i32,
  weightLower: i32,
): void {
  const b0 = i16x8.splat(<i16>weightUpper);
  const b1 = i16x8.splat(<i16>weightLower);
  const end = out + <usize>length;
  for (let o = out, p = upper, q = lower; o < end; o += 16, p += 32, q += 32) {
    v128.store(
      o,
      i8x16.narrow_i16x8_u(
        cv2Blend(v128.load(p), v128.load(q), b0, b1),
        cv2Blend(v128.load(p, 16), v128.load(q, 16), b0, b1),
      ),
    );
  }
}

/**
 * `rows` rows of interleaved pixels through a table of 3 x 256 float32 into three planes.
 * @param plane - bytes from one plane to the next
 */
export function tableRows(
  src: usize,
  srcStride: i32,
  out: usize,
  outStride: i32,
  plane: i32,
  rows: i32,
  width: i32,
  table: usize,
): void {
  for (let y = 0; y < rows; y++) {
    let p = src + <usize>(y * srcStride);
    let o = out + <usize>(y * outStride);
    const end = o + <usize>(width * 4);
    const g = <usize>plane;
    const b = <usize>(2 * plane);
    for (; o < end; o += 4, p += 3) {
      store<f32>(o, load<f32>(table + ((<usize>load<u8>(p)) << 2)));
      store<f32>(o + g, load<f32>(table + ((<usize>load<u8>(p, 1)) << 2), 1024));
      store<f32>(o + b, load<f32>(table + ((<usize>load<u8>(p, 2)) << 2), 2048));
    }
  }
}

/** One pixel of the antialiased float resize: the sum of weight * value over `taps` pixels, float32, in order. */
function floatPixel(pixel: usize, weights: usize, taps: i32): v128 {
  let sum = f32x4.splat(0);
  const end = weights + <usize>(taps * 4);
  for (let w = weights; w < end; w += 4, pixel += 3) {
    const value = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(pixel))));
    sum = f32x4.add(sum, f32x4.mul(value, v128.load32_splat(w)));
  }
  return sum;
}

/** Horizontal pass of the float resize: uint8 r g b -> float32 r g b. `weights`: float32 [width, taps]. */
export function floatHorizontal(
  src: usize,
  srcStride: i32,
  out: usize,
  outStride: i32,
  rows: i32,
  width: i32,
  starts: usize,
  weights: usize,
  taps: i32,
): void {
  for (let y = 0; y < rows; y++) {
    const row = src + <usize>(y * srcStride);
    let o = out + <usize>(y * outStride);
    let w = weights;
    const end = starts + <usize>(width * 4);
    for (let s = starts; s < end; s += 4, o += 12) {
      v128.store(o, floatPixel(row + <usize>load<i32>(s), w, taps));
      w += <usize>(taps * 4);
    }
  }
}

/**
 * Vertical pass of the float resize, then value * scale + shift, into three planes. `width` is a multiple of 4; `affine` holds scale of
 * r g b four times over (12 float32), then shift alike.
 */
export function floatVertical(
  src: usize,
  stride: i32,
  out: usize,
  plane: i32,
  width: i32,
  weights: usize,
  taps: i32,
  affine: usize,
): void {
  const last = weights + <usize>(taps * 4);
  const end = src + <usize>(width * 12);
  const g = <usize>plane;
  const b = <usize>(2 * plane);
  for (let p = src, o = out; p < end; p += 48, o += 16) {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let q = p;
    for (let w = weights; w < last; w += 4) {
      const weight = v128.load32_splat(w);
      s0 = f32x4.add(s0, f32x4.mul(v128.load(q), weight));
      s1 = f32x4.add(s1, f32x4.mul(v128.load(q, 16), weight));
      s2 = f32x4.add(s2, f32x4.mul(v128.load(q, 32), weight));
      q += <usize>stride;
    }
    // r0 g0 b0 r1 | g1 b1 r2 g2 | b2 r3 g3 b3
    s0 = f32x4.add(f32x4.mul(s0, v128.load(affine)), v128.load(affine, 48));
    s1 = f32x4.add(f32x4.mul(s1, v128.load(affine, 16)), v128.load(affine, 64));
    s2 = f32x4.add(f32x4.mul(s2, v128.load(affine, 32)), v128.load(affine, 80));
    v128.store(o, v128.shuffle<f32>(v128.shuffle<f32>(s0, s1, 0, 3, 6, 6), s2, 0, 1, 2, 5));
    v128.store(o + g, v128.shuffle<f32>(v128.shuffle<f32>(s0, s1, 1, 4, 7, 7), s2, 0, 1, 2, 6));
    v128.store(o + b, v128.shuffle<f32>(v128.shuffle<f32>(s0, s1, 2, 5, 5, 5), s2, 0, 1, 4, 7));
  }
}
