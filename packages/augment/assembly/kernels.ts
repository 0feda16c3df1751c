// Pixel loops with 128-bit SIMD. AssemblyScript; built by scripts/generate.mjs. The caller owns the memory: every argument that is named like a
// buffer is an address, and at least 64 bytes beyond each buffer may be read. Arithmetic is that of the TypeScript kernels, to the bit,
// except hsvShift (float32).

const STRIDE: usize = 32;

/** Zero bytes where the index is out of range: bytes of two neighbouring pixels as pairs r r g g b b of 16 bits. */
const NEIGHBOURS: v128 = i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
/** The lowest bytes of three 32-bit values. */
const LOWEST: v128 = i8x16(0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
/** Per weight w of 0..127: 128 - w and w as 16 bits; filled by {@link warp3}. */
const WEIGHTS: usize = memory.data(512, 16);

/** Bilinear along spans, three channels; see warp.ts. Border: the nearest tap; with isConstant pixels outside of the clip stay. */
export function warp3(
  src: usize,
  width: i32,
  height: i32,
  dst: usize,
  outWidth: i32,
  spans: usize,
  count: i32,
  x1: i32,
  y1: i32,
  x2: i32,
  y2: i32,
  isConstant: i32,
): void {
  const stride = <usize>(width * 3);
  const half = i32x4.splat(8192);
  if (load<u32>(WEIGHTS) == 0) {
    for (let w = 0; w < 128; w++) store<u32>(WEIGHTS + (<usize>w << 2), (128 - w) | (w << 16));
  }
  const lastX = width - 1;
  const lastY = height - 1;
  for (let k = 0; k < count; k++) {
    const s = spans + <usize>k * STRIDE;
    const row = load<i32>(s);
    const from = load<i32>(s, 4);
    const n = load<i32>(s, 8) - from;
    let u = load<i32>(s, 12) + 256;
    let v = load<i32>(s, 16) + 256;
    const du = load<i32>(s, 20);
    const dv = load<i32>(s, 24);
    let o = dst + <usize>((row * outWidth + from) * 3);
    if (load<i32>(s, 28) == 1) {
      if (dv == 0 && du == 65536 && (u & 0xffff) < 512 && (v & 0xffff) < 512) {
        memory.copy(o, src + <usize>(v >> 16) * stride + <usize>((u >> 16) * 3), <usize>(n * 3));
        continue;
      }
      for (let i = 0; i < n; i++) {
        const p = src + <usize>(v >> 16) * stride + <usize>((u >> 16) * 3);
        // Bits 9 to 15 of the fraction, times four bytes.
        const across = v128.load32_splat(WEIGHTS + <usize>((u >> 7) & 508));
        const down = v128.load32_splat(WEIGHTS + <usize>((v >> 7) & 508));
        // (left, right) pairs of R, G, B as 16 bits.
        const top = i32x4.dot_i16x8_s(i8x16.swizzle(v128.load64_zero(p), NEIGHBOURS), across);
        const bottom = i32x4.dot_i16x8_s(i8x16.swizzle(v128.load64_zero(p + stride), NEIGHBOURS), across);
        // Both are below 2^15: (top, bottom) pairs of 16 bits.
        const pairs = v128.or(top, i32x4.shl(bottom, 16));
        const sum = i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(pairs, down), half), 14);
        const bytes = i8x16.swizzle(sum, LOWEST);
        if (i < n - 1) {
          // The fourth byte is overwritten by the next pixel.
          v128.store32_lane(o, bytes, 0);
        } else {
          v128.store16_lane(o, bytes, 0);
          v128.store8_lane(o + 2, bytes, 2);
        }
        o += 3;
        u += du;
        v += dv;
      }
      continue;
    }
    for (let i = 0; i < n; i++, o += 3, u += du, v += dv) {
      if (isConstant) {
        const cx = u + 32512;
        const cy = v + 32512;
        if (cx < x1 || cy < y1 || cx >= x2 || cy >= y2) continue;
      }
      const xi = u >> 16;
      const yi = v >> 16;
      const left = <usize>(min(max(xi, 0), lastX) * 3);
      const right = <usize>(min(max(xi + 1, 0), lastX) * 3);
      const top = src + <usize>min(max(yi, 0), lastY) * stride;
      const bottom = src + <usize>min(max(yi + 1, 0), lastY) * stride;
      const wx = (u >> 9) & 127;
      const wy = (v >> 9) & 127;
      const w11 = wx * wy;
      const w01 = (wx << 7) - w11;
      const w10 = (wy << 7) - w11;
      const w00 = 16384 - (wx << 7) - w10;
      for (let c: usize = 0; c < 3; c++) {
        store<u8>(
          o + c,
          (<i32>load<u8>(top + left + c) * w00 +
            <i32>load<u8>(top + right + c) * w01 +
            <i32>load<u8>(bottom + left + c) * w10 +
            <i32>load<u8>(bottom + right + c) * w11 +
            8192) >>
            14,
        );
      }
    }
  }
}

/** Rounds to the nearest whole number by adding 1.5 * 2^23: the mantissa's low bits are the number. Cheaper than a saturating conversion. */
// @ts-ignore: decorator
@inline
function nearest(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(12582912)), i32x4.splat(0x4b400000));
}

/** floor((sum + half) / n) of eight 16-bit sums as bytes; exact, see blur.ts. */
// @ts-ignore: decorator
@inline
function mean8(sum: v128, factor: v128): v128 {
  // floor(x) = nearest(x - 1/2), and 0.001 keeps exact multiples of n off the ties.
  const offset = f32x4.splat(0.001 - 0.5);
  const low = f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(sum)), factor), offset);
  const high = f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(sum)), factor), offset);
  const words = i16x8.narrow_i32x4_u(nearest(low), nearest(high));
  return i8x16.narrow_i16x8_u(words, words);
}

/** Mean of k x k over a padded source; sums: (width + k - 1) * channels 16-bit values. */
export function boxBlur(src: usize, dst: usize, width: i32, height: i32, channels: i32, k: i32, sums: usize): void {
  const n = k * k;
  const factor = f32x4.splat(<f32>1.0 / <f32>n);
  const half = i16x8.splat(<i16>(n >> 1));
  const stride = (width + k - 1) * channels;
  const rowBytes = width * channels;
  memory.fill(sums, 0, <usize>(2 * (stride + 32)));
  for (let y = 0; y < k - 1; y++) addRow(sums, src + <usize>(y * stride), stride);
  for (let y = 0; y < height; y++) {
    addRow(sums, src + <usize>((y + k - 1) * stride), stride);
    const o = dst + <usize>(y * rowBytes);
    let i = 0;
    for (; i + 8 <= rowBytes; i += 8) {
      let sum = half;
      let p = sums + <usize>(2 * i);
      for (let t = 0; t < k; t++, p += <usize>(2 * channels)) sum = i16x8.add(sum, v128.load(p));
      v128.store64_lane(o + <usize>i, mean8(sum, factor), 0);
    }
    for (; i < rowBytes; i++) {
      let sum: i32 = n >> 1;
      for (let t = 0; t < k; t++) sum += load<u16>(sums + <usize>(2 * (i + t * channels)));
      store<u8>(o + <usize>i, sum / n);
    }
    dropRow(sums, src + <usize>(y * stride), stride);
  }
}

function addRow(sums: usize, row: usize, n: i32): void {
  for (let i = 0; i < n; i += 8) {
    const p = sums + <usize>(2 * i);
    v128.store(p, i16x8.add(v128.load(p), v128.load8x8_u(row + <usize>i)));
  }
}

function dropRow(sums: usize, row: usize, n: i32): void {
  for (let i = 0; i < n; i += 8) {
    const p = sums + <usize>(2 * i);
    v128.store(p, i16x8.sub(v128.load(p), v128.load8x8_u(row + <usize>i)));
  }
}

/** Mean over taps (byte offsets into the padded source). */
export function lineBlur(
  src: usize,
  stride: i32,
  dst: usize,
  rowBytes: i32,
  height: i32,
  taps: usize,
  count: i32,
): void {
  const factor = f32x4.splat(<f32>1.0 / <f32>count);
  const half = i16x8.splat(<i16>(count >> 1));
  for (let y = 0; y < height; y++) {
    const base = src + <usize>(y * stride);
    const o = dst + <usize>(y * rowBytes);
    let i = 0;
    for (; i + 8 <= rowBytes; i += 8) {
      let sum = half;
      for (let t = 0; t < count; t++) {
        sum = i16x8.add(sum, v128.load8x8_u(base + <usize>(i + load<i32>(taps + <usize>(4 * t)))));
      }
      v128.store64_lane(o + <usize>i, mean8(sum, factor), 0);
    }
    for (; i < rowBytes; i++) {
      let sum: i32 = count >> 1;
      for (let t = 0; t < count; t++) sum += load<u8>(base + <usize>(i + load<i32>(taps + <usize>(4 * t))));
      store<u8>(o + <usize>i, sum / count);
    }
  }
}

/** clip((centre x - side * sum of nine + 2048) >> 12) over a source padded by one pixel. */
export function sharpen(
  src: usize,
  dst: usize,
  rowBytes: i32,
  height: i32,
  channels: i32,
  centre: i32,
  side: i32,
): void {
  const stride = rowBytes + 2 * channels;
  const weights = i32x4.splat((centre & 0xffff) | (-side << 16));
  const half = i32x4.splat(2048);
  const c = <usize>channels;
  for (let y = 0; y < height; y++) {
    const top = src + <usize>(y * stride);
    const middle = top + <usize>stride;
    const bottom = middle + <usize>stride;
    const o = dst + <usize>(y * rowBytes);
    let i = 0;
    for (; i + 8 <= rowBytes; i += 8) {
      const a = top + <usize>i;
      const b = middle + <usize>i;
      const d = bottom + <usize>i;
      const x = v128.load8x8_u(b + c);
      let box = i16x8.add(i16x8.add(v128.load8x8_u(a), v128.load8x8_u(a + c)), v128.load8x8_u(a + 2 * c));
      box = i16x8.add(box, i16x8.add(i16x8.add(v128.load8x8_u(b), x), v128.load8x8_u(b + 2 * c)));
      box = i16x8.add(box, i16x8.add(i16x8.add(v128.load8x8_u(d), v128.load8x8_u(d + c)), v128.load8x8_u(d + 2 * c)));
      const low = i8x16.shuffle(x, box, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
      const high = i8x16.shuffle(x, box, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
      const words = i16x8.narrow_i32x4_s(
        i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(low, weights), half), 12),
        i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(high, weights), half), 12),
      );
      v128.store64_lane(o + <usize>i, i8x16.narrow_i16x8_u(words, words), 0);
    }
    for (; i < rowBytes; i++) {
      let box: i32 = 0;
      for (let t: usize = 0; t < 3; t++) {
        box += <i32>load<u8>(top + <usize>i + t * c) + <i32>load<u8>(middle + <usize>i + t * c) + <i32>load<u8>(bottom + <usize>i + t * c);
      }
      const value = (<i32>load<u8>(middle + <usize>i + c) * centre - box * side + 2048) >> 12;
      store<u8>(o + <usize>i, min(max(value, 0), 255));
    }
  }
}

/** Symmetric separable convolution; weights: 32-bit, from the centre outwards; middle: 16-bit, rowBytes * (height + 2 radius). */
export function separable(
  src: usize,
  dst: usize,
  rowBytes: i32,
  height: i32,
  channels: i32,
  weights: usize,
  radius: i32,
  middle: usize,
): void {
  const stride = rowBytes + 2 * radius * channels;
  const rows = height + 2 * radius;
  const centre = i16x8.splat(<i16>load<i32>(weights));
  const eight = i32x4.splat(8);
  for (let y = 0; y < rows; y++) {
    const p = src + <usize>(y * stride + radius * channels);
    const o = middle + <usize>(2 * y * rowBytes);
    let i = 0;
    for (; i + 8 <= rowBytes; i += 8) {
      const x = v128.load8x8_u(p + <usize>i);
      let low = i32x4.add(eight, i32x4.extmul_low_i16x8_u(x, centre));
      let high = i32x4.add(eight, i32x4.extmul_high_i16x8_u(x, centre));
      for (let t = 1; t <= radius; t++) {
        const w = i16x8.splat(<i16>load<i32>(weights + <usize>(4 * t)));
        const pair = i16x8.add(
          v128.load8x8_u(p + <usize>(i - t * channels)),
          v128.load8x8_u(p + <usize>(i + t * channels)),
        );
        low = i32x4.add(low, i32x4.extmul_low_i16x8_u(pair, w));
        high = i32x4.add(high, i32x4.extmul_high_i16x8_u(pair, w));
      }
      v128.store(o + <usize>(2 * i), i16x8.narrow_i32x4_u(i32x4.shr_u(low, 4), i32x4.shr_u(high, 4)));
    }
    for (; i < rowBytes; i++) {
      let sum: i32 = <i32>load<u8>(p + <usize>i) * load<i32>(weights) + 8;
      for (let t = 1; t <= radius; t++) {
        sum +=
          (<i32>load<u8>(p + <usize>(i - t * channels)) + <i32>load<u8>(p + <usize>(i + t * channels))) *
          load<i32>(weights + <usize>(4 * t));
      }
      store<u16>(o + <usize>(2 * i), sum >> 4);
    }
  }
  const round = i32x4.splat(1 << 19);
  for (let y = 0; y < height; y++) {
    const p = middle + <usize>(2 * (y + radius) * rowBytes);
    const o = dst + <usize>(y * rowBytes);
    let i = 0;
    for (; i + 8 <= rowBytes; i += 8) {
      const x = v128.load(p + <usize>(2 * i));
      let low = i32x4.add(round, i32x4.extmul_low_i16x8_u(x, centre));
      let high = i32x4.add(round, i32x4.extmul_high_i16x8_u(x, centre));
      for (let t = 1; t <= radius; t++) {
        const w = i16x8.splat(<i16>load<i32>(weights + <usize>(4 * t)));
        const a = v128.load(p + <usize>(2 * (i - t * rowBytes)));
        const b = v128.load(p + <usize>(2 * (i + t * rowBytes)));
        low = i32x4.add(low, i32x4.add(i32x4.extmul_low_i16x8_u(a, w), i32x4.extmul_low_i16x8_u(b, w)));
        high = i32x4.add(high, i32x4.add(i32x4.extmul_high_i16x8_u(a, w), i32x4.extmul_high_i16x8_u(b, w)));
      }
      const words = i16x8.narrow_i32x4_u(i32x4.shr_u(low, 20), i32x4.shr_u(high, 20));
      v128.store64_lane(o + <usize>i, i8x16.narrow_i16x8_u(words, words), 0);
    }
    for (; i < rowBytes; i++) {
      let sum: i32 = <i32>load<u16>(p + <usize>(2 * i)) * load<i32>(weights) + (1 << 19);
      for (let t = 1; t <= radius; t++) {
        sum +=
          (<i32>load<u16>(p + <usize>(2 * (i - t * rowBytes))) + <i32>load<u16>(p + <usize>(2 * (i + t * rowBytes)))) *
          load<i32>(weights + <usize>(4 * t));
      }
      store<u8>(o + <usize>i, sum >> 20);
    }
  }
}

/** Adds table values to one row after the other; the table is long enough for a whole row from every offset. */
export function noise(
  data: usize,
  rowBytes: i32,
  height: i32,
  offsets: usize,
  mask: i32,
  table: usize,
  scale: i32,
  shift: i32,
): void {
  const factor = i16x8.splat(<i16>scale);
  const half = i32x4.splat(1 << (shift - 1));
  for (let y = 0; y < height; y++) {
    let t = table + <usize>(2 * (load<i32>(offsets + <usize>(4 * y)) & mask));
    const p = data + <usize>(y * rowBytes);
    let i = 0;
    for (; i + 8 <= rowBytes; i += 8, t += 16) {
      const z = v128.load(t);
      const add = i16x8.narrow_i32x4_s(
        i32x4.shr_s(i32x4.add(i32x4.extmul_low_i16x8_s(z, factor), half), shift),
        i32x4.shr_s(i32x4.add(i32x4.extmul_high_i16x8_s(z, factor), half), shift),
      );
      const sum = i16x8.add_sat_s(v128.load8x8_u(p + <usize>i), add);
      v128.store64_lane(p + <usize>i, i8x16.narrow_i16x8_u(sum, sum), 0);
    }
    for (; i < rowBytes; i++, t += 2) {
      const value = <i32>load<u8>(p + <usize>i) + ((<i32>load<i16>(t) * scale + (1 << (shift - 1))) >> shift);
      store<u8>(p + <usize>i, min(max(value, 0), 255));
    }
  }
}

/** (w a + (32768 - w) b + 16384) >> 15 */
export function mix(a: usize, b: usize, n: i32, weight: i32): void {
  const weights = i32x4.splat(weight | ((32768 - weight) << 16));
  const half = i32x4.splat(16384);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const p = a + <usize>i;
    const x = v128.load8x8_u(p);
    const y = v128.load8x8_u(b + <usize>i);
    const low = i8x16.shuffle(x, y, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
    const high = i8x16.shuffle(x, y, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
    const words = i16x8.narrow_i32x4_s(
      i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(low, weights), half), 15),
      i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(high, weights), half), 15),
    );
    v128.store64_lane(p, i8x16.narrow_i16x8_u(words, words), 0);
  }
  for (; i < n; i++) {
    const p = a + <usize>i;
    store<u8>(p, (<i32>load<u8>(p) * weight + <i32>load<u8>(b + <usize>i) * (32768 - weight) + 16384) >> 15);
  }
}

// Sixteen RGB pixels to planes and back. Bytes of 48 in a, b, c: R at 0, 3, ... 45.
// @ts-expect-error: decorator
@inline
function redOf(a: v128, b: v128, c: v128): v128 {
  const ab = i8x16.shuffle(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
  return i8x16.shuffle(ab, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
}
// @ts-expect-error: decorator
@inline
function greenOf(a: v128, b: v128, c: v128): v128 {
  const ab = i8x16.shuffle(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
  return i8x16.shuffle(ab, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
}
// @ts-expect-error: decorator
@inline
function blueOf(a: v128, b: v128, c: v128): v128 {
  const ab = i8x16.shuffle(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
  return i8x16.shuffle(ab, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
}
// @ts-expect-error: decorator
@inline
function storeRgb(p: usize, r: v128, g: v128, b: v128): void {
  // r0 g0 r1 g1 ... in two halves, then the blues in between.
  const low = i8x16.shuffle(r, g, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const high = i8x16.shuffle(r, g, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  v128.store(p, i8x16.shuffle(low, b, 0, 1, 16, 2, 3, 17, 4, 5, 18, 6, 7, 19, 8, 9, 20, 10));
  const middle = i8x16.shuffle(low, high, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26);
  v128.store(p + 16, i8x16.shuffle(middle, b, 0, 21, 1, 2, 22, 3, 4, 23, 5, 6, 24, 7, 8, 25, 9, 10));
  v128.store(p + 32, i8x16.shuffle(high, b, 26, 6, 7, 27, 8, 9, 28, 10, 11, 29, 12, 13, 30, 14, 15, 31));
}

/** Sums of R, G, B over whole blocks of 16 pixels at an address, uint32; returns how many pixels were done. At most 2^24 pixels. */
export function channelSums(data: usize, pixels: i32, sums: usize): i32 {
  let r = i32x4.splat(0);
  let g = r;
  let b = r;
  let i = 0;
  for (; i + 16 <= pixels; i += 16) {
    const p = data + <usize>(3 * i);
    const x = v128.load(p);
    const y = v128.load(p, 16);
    const z = v128.load(p, 32);
    r = i32x4.add(r, fourSums(redOf(x, y, z)));
    g = i32x4.add(g, fourSums(greenOf(x, y, z)));
    b = i32x4.add(b, fourSums(blueOf(x, y, z)));
  }
  store<u32>(sums, total(r));
  store<u32>(sums, total(g), 4);
  store<u32>(sums, total(b), 8);
  return i;
}

// @ts-expect-error: decorator
@inline
function fourSums(bytes: v128): v128 {
  return i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(bytes));
}

function total(sums: v128): i32 {
  return (
    i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3)
  );
}

// @ts-expect-error: decorator
@inline
function matrixRow(rg0: v128, rg1: v128, rg2: v128, rg3: v128, b0: v128, b1: v128, b2: v128, b3: v128, w: v128, wb: v128, off: v128): v128 {
  const x0 = i32x4.shr_s(i32x4.add(i32x4.add(i32x4.dot_i16x8_s(rg0, w), i32x4.dot_i16x8_s(b0, wb)), off), 12);
  const x1 = i32x4.shr_s(i32x4.add(i32x4.add(i32x4.dot_i16x8_s(rg1, w), i32x4.dot_i16x8_s(b1, wb)), off), 12);
  const x2 = i32x4.shr_s(i32x4.add(i32x4.add(i32x4.dot_i16x8_s(rg2, w), i32x4.dot_i16x8_s(b2, wb)), off), 12);
  const x3 = i32x4.shr_s(i32x4.add(i32x4.add(i32x4.dot_i16x8_s(rg3, w), i32x4.dot_i16x8_s(b3, wb)), off), 12);
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(x0, x1), i16x8.narrow_i32x4_s(x2, x3));
}

// @ts-expect-error: decorator
@inline
function coefficients(m: usize, row: usize): v128 {
  return i32x4.splat((load<i32>(m + 16 * row) & 0xffff) | (load<i32>(m + 16 * row, 4) << 16));
}

/** Whole blocks of 16 pixels; returns how many pixels were done. */
export function colorMatrix(data: usize, pixels: i32, m: usize): i32 {
  const w0 = coefficients(m, 0);
  const w1 = coefficients(m, 1);
  const w2 = coefficients(m, 2);
  const b0 = i32x4.splat(load<i32>(m, 8) & 0xffff);
  const b1 = i32x4.splat(load<i32>(m, 24) & 0xffff);
  const b2 = i32x4.splat(load<i32>(m, 40) & 0xffff);
  const o0 = i32x4.splat(load<i32>(m, 12) + 2048);
  const o1 = i32x4.splat(load<i32>(m, 28) + 2048);
  const o2 = i32x4.splat(load<i32>(m, 44) + 2048);
  const zero = i64x2.splat(0);
  let i = 0;
  for (; i + 16 <= pixels; i += 16) {
    const p = data + <usize>(3 * i);
    const a = v128.load(p);
    const b = v128.load(p, 16);
    const c = v128.load(p, 32);
    const r = redOf(a, b, c);
    const g = greenOf(a, b, c);
    const blue = blueOf(a, b, c);
    const rgLow = i8x16.shuffle(r, g, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const rgHigh = i8x16.shuffle(r, g, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    const blueLow = i8x16.shuffle(blue, zero, 0, 16, 1, 16, 2, 16, 3, 16, 4, 16, 5, 16, 6, 16, 7, 16);
    const blueHigh = i8x16.shuffle(blue, zero, 8, 16, 9, 16, 10, 16, 11, 16, 12, 16, 13, 16, 14, 16, 15, 16);
    const rg0 = i16x8.extend_low_i8x16_u(rgLow);
    const rg1 = i16x8.extend_high_i8x16_u(rgLow);
    const rg2 = i16x8.extend_low_i8x16_u(rgHigh);
    const rg3 = i16x8.extend_high_i8x16_u(rgHigh);
    const s0 = i16x8.extend_low_i8x16_u(blueLow);
    const s1 = i16x8.extend_high_i8x16_u(blueLow);
    const s2 = i16x8.extend_low_i8x16_u(blueHigh);
    const s3 = i16x8.extend_high_i8x16_u(blueHigh);
    storeRgb(
      p,
      matrixRow(rg0, rg1, rg2, rg3, s0, s1, s2, s3, w0, b0, o0),
      matrixRow(rg0, rg1, rg2, rg3, s0, s1, s2, s3, w1, b1, o1),
      matrixRow(rg0, rg1, rg2, rg3, s0, s1, s2, s3, w2, b2, o2),
    );
  }
  return i;
}

// @ts-expect-error: decorator
@inline
function floats(p: usize): v128 {
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(p))));
}

/** value - value * s * max(0, min(k, 4 - k, 1)), k = (n + h) mod 6; as four bytes. */
// @ts-expect-error: decorator
@inline
function storeChannel(p: usize, n: f32, h: v128, value: v128, chroma: v128): void {
  const six = f32x4.splat(6);
  let k = f32x4.add(h, f32x4.splat(n));
  k = f32x4.sub(k, v128.and(f32x4.ge(k, six), six));
  const ramp = f32x4.pmax(f32x4.pmin(f32x4.pmin(k, f32x4.sub(f32x4.splat(4), k)), f32x4.splat(1)), f32x4.splat(0));
  const out = nearest(f32x4.sub(value, f32x4.mul(chroma, ramp)));
  const words = i16x8.narrow_i32x4_s(out, out);
  v128.store32_lane(p, i8x16.narrow_i16x8_u(words, words), 0);
}

/** Whole blocks of 16 pixels; hue in sectors of 60 degrees; scratch: 48 bytes. Returns how many pixels were done. */
export function hsvShift(data: usize, pixels: i32, hue: f32, saturation: f32, value: f32, scratch: usize): i32 {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  const full = f32x4.splat(255);
  const half = f32x4.splat(0.5);
  const six = f32x4.splat(6);
  const dh = f32x4.splat(hue);
  const ds = f32x4.splat(saturation);
  const dv = f32x4.splat(value);
  let i = 0;
  for (; i + 16 <= pixels; i += 16) {
    const p = data + <usize>(3 * i);
    const a = v128.load(p);
    const b = v128.load(p, 16);
    const c = v128.load(p, 32);
    v128.store(scratch, redOf(a, b, c));
    v128.store(scratch, greenOf(a, b, c), 16);
    v128.store(scratch, blueOf(a, b, c), 32);
    for (let q: usize = 0; q < 16; q += 4) {
      const r = floats(scratch + q);
      const g = floats(scratch + q + 16);
      const blue = floats(scratch + q + 32);
      const high = f32x4.pmax(r, f32x4.pmax(g, blue));
      const low = f32x4.pmin(r, f32x4.pmin(g, blue));
      const span = f32x4.sub(high, low);
      const isGray = f32x4.eq(span, zero);
      const inverse = f32x4.div(one, v128.bitselect(one, span, isGray));
      const isRed = f32x4.eq(high, r);
      const isGreen = f32x4.eq(high, g);
      const fromRed = f32x4.mul(f32x4.sub(g, blue), inverse);
      const fromGreen = f32x4.add(f32x4.mul(f32x4.sub(blue, r), inverse), f32x4.splat(2));
      const fromBlue = f32x4.add(f32x4.mul(f32x4.sub(r, g), inverse), f32x4.splat(4));
      let h = f32x4.add(v128.bitselect(fromRed, v128.bitselect(fromGreen, fromBlue, isGreen), isRed), dh);
      h = f32x4.add(h, v128.and(f32x4.lt(h, zero), six));
      h = f32x4.sub(h, v128.and(f32x4.ge(h, six), six));
      // Saturation and value are whole levels before and after the shift.
      const ratio = f32x4.div(f32x4.mul(span, full), v128.bitselect(one, high, f32x4.eq(high, zero)));
      let s = f32x4.add(f32x4.floor(f32x4.add(ratio, half)), ds);
      s = f32x4.pmin(f32x4.pmax(f32x4.floor(f32x4.add(s, half)), zero), full);
      s = v128.bitselect(zero, s, isGray);
      let v = f32x4.floor(f32x4.add(f32x4.add(high, dv), half));
      v = f32x4.pmin(f32x4.pmax(v, zero), full);
      const chroma = f32x4.mul(f32x4.mul(v, s), f32x4.splat(1.0 / 255.0));
      storeChannel(scratch + q, 5, h, v, chroma);
      storeChannel(scratch + q + 16, 3, h, v, chroma);
      storeChannel(scratch + q + 32, 1, h, v, chroma);
    }
    storeRgb(p, v128.load(scratch), v128.load(scratch, 16), v128.load(scratch, 32));
  }
  return i;
}

/** Transmittance of one row, 0..256 as 16 bits; see veilRow in pointwise.ts. */
function veilRow(plane: usize, planeWidth: i32, planeHeight: i32, y: i32, width: i32, row: usize, t: usize): void {
  const near = y >> 1;
  const far = min(planeHeight - 1, max(0, (y & 1) == 0 ? near - 1 : near + 1));
  const a = plane + <usize>(2 * near * planeWidth);
  const b = plane + <usize>(2 * far * planeWidth);
  const three = i16x8.splat(3);
  for (let j = 0; j < planeWidth; j += 8) {
    const k = <usize>(2 * j);
    v128.store(row + k, i16x8.add(i16x8.mul(v128.load(a + k), three), v128.load(b + k)));
  }
  const last = planeWidth - 1;
  for (let j = 0; j < planeWidth; j++) {
    const here = 3 * <i32>load<u16>(row + <usize>(2 * j));
    const before = <i32>load<u16>(row + <usize>(2 * max(0, j - 1)));
    const after = <i32>load<u16>(row + <usize>(2 * min(last, j + 1)));
    store<u32>(t + <usize>(4 * j), ((here + before + 8) >> 4) | (((here + after + 8) >> 4) << 16));
  }
}

/** x T + color (1 - T), three channels; row and t: width + 32 16-bit values. */
export function veil3(
  data: usize,
  width: i32,
  height: i32,
  plane: usize,
  c0: i32,
  c1: i32,
  c2: i32,
  row: usize,
  t: usize,
): void {
  const planeWidth = (width + 1) >> 1;
  const planeHeight = (height + 1) >> 1;
  // Colours of the three phases of eight bytes.
  const k0 = i16x8(<i16>c0, <i16>c1, <i16>c2, <i16>c0, <i16>c1, <i16>c2, <i16>c0, <i16>c1);
  const k1 = i16x8(<i16>c2, <i16>c0, <i16>c1, <i16>c2, <i16>c0, <i16>c1, <i16>c2, <i16>c0);
  const k2 = i16x8(<i16>c1, <i16>c2, <i16>c0, <i16>c1, <i16>c2, <i16>c0, <i16>c1, <i16>c2);
  const round = i16x8.splat(128);
  const o0 = i16x8.add(i16x8.shl(k0, 8), round);
  const o1 = i16x8.add(i16x8.shl(k1, 8), round);
  const o2 = i16x8.add(i16x8.shl(k2, 8), round);
  for (let y = 0; y < height; y++) {
    veilRow(plane, planeWidth, planeHeight, y, width, row, t);
    const p = data + <usize>(3 * y * width);
    let x = 0;
    for (; x + 8 <= width; x += 8) {
      const through = v128.load(t + <usize>(2 * x));
      const q = p + <usize>(3 * x);
      const t0 = i8x16.shuffle(through, through, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5);
      const t1 = i8x16.shuffle(through, through, 4, 5, 6, 7, 6, 7, 6, 7, 8, 9, 8, 9, 8, 9, 10, 11);
      const t2 = i8x16.shuffle(through, through, 10, 11, 10, 11, 12, 13, 12, 13, 12, 13, 14, 15, 14, 15, 14, 15);
      // (x - c) T + 256 c + 128 in 16 bits: the true value fits, so wrapping in between does not matter.
      const y0 = i16x8.shr_u(i16x8.add(i16x8.mul(i16x8.sub(v128.load8x8_u(q), k0), t0), o0), 8);
      const y1 = i16x8.shr_u(i16x8.add(i16x8.mul(i16x8.sub(v128.load8x8_u(q, 8), k1), t1), o1), 8);
      const y2 = i16x8.shr_u(i16x8.add(i16x8.mul(i16x8.sub(v128.load8x8_u(q, 16), k2), t2), o2), 8);
      v128.store(q, i8x16.narrow_i16x8_u(y0, y1));
      v128.store64_lane(q + 16, i8x16.narrow_i16x8_u(y2, y2), 0);
    }
    for (; x < width; x++) {
      const through = <i32>load<u16>(t + <usize>(2 * x));
      const rest = 256 - through;
      const q = p + <usize>(3 * x);
      store<u8>(q, (<i32>load<u8>(q) * through + c0 * rest + 128) >> 8);
      store<u8>(q + 1, (<i32>load<u8>(q + 1) * through + c1 * rest + 128) >> 8);
      store<u8>(q + 2, (<i32>load<u8>(q + 2) * through + c2 * rest + 128) >> 8);
    }
  }
}

/** (77 R + 150 G + 29 B + 128) >> 8 */
export function luma3(data: usize, pixels: i32, out: usize): void {
  const wr = i16x8.splat(77);
  const wg = i16x8.splat(150);
  const wb = i16x8.splat(29);
  const round = i16x8.splat(128);
  let i = 0;
  for (; i + 16 <= pixels; i += 16) {
    const p = data + <usize>(3 * i);
    const a = v128.load(p);
    const b = v128.load(p, 16);
    const c = v128.load(p, 32);
    const r = redOf(a, b, c);
    const g = greenOf(a, b, c);
    const blue = blueOf(a, b, c);
    const low = i16x8.add(
      i16x8.add(i16x8.mul(i16x8.extend_low_i8x16_u(r), wr), i16x8.mul(i16x8.extend_low_i8x16_u(g), wg)),
      i16x8.add(i16x8.mul(i16x8.extend_low_i8x16_u(blue), wb), round),
    );
    const high = i16x8.add(
      i16x8.add(i16x8.mul(i16x8.extend_high_i8x16_u(r), wr), i16x8.mul(i16x8.extend_high_i8x16_u(g), wg)),
      i16x8.add(i16x8.mul(i16x8.extend_high_i8x16_u(blue), wb), round),
    );
    v128.store(out + <usize>i, i8x16.narrow_i16x8_u(i16x8.shr_u(low, 8), i16x8.shr_u(high, 8)));
  }
  for (; i < pixels; i++) {
    const p = data + <usize>(3 * i);
    store<u8>(out + <usize>i, (77 * <i32>load<u8>(p) + 150 * <i32>load<u8>(p + 1) + 29 * <i32>load<u8>(p + 2) + 128) >> 8);
  }
}

/** Adds the change of luma to three channels. tables: 8 bits per entry, tileA and tileB: byte offsets per column, weight: 0..256 per column. */
export function claheMap3(
  data: usize,
  luma: usize,
  width: i32,
  height: i32,
  tables: usize,
  columns: i32,
  rows: i32,
  tileHeight: i32,
  tileA: usize,
  tileB: usize,
  weight: usize,
  rowTables: usize,
  delta: usize,
): void {
  const n = columns * 256;
  for (let y = 0; y < height; y++) {
    const at = <f64>y / <f64>tileHeight - 0.5;
    const floor = Math.floor(at);
    const low = <i32>floor;
    const a = tables + <usize>(max(0, low) * n);
    const b = tables + <usize>(min(rows - 1, low + 1) * n);
    const w = <i32>Math.floor((at - floor) * 256 + 0.5);
    const wa = i16x8.splat(<i16>(256 - w));
    const wb = i16x8.splat(<i16>w);
    for (let k = 0; k < n; k += 8) {
      // At most 255 * 256: unsigned 16 bits.
      const sum = i16x8.add(
        i16x8.mul(v128.load8x8_u(a + <usize>k), wa),
        i16x8.mul(v128.load8x8_u(b + <usize>k), wb),
      );
      v128.store(rowTables + <usize>(2 * k), sum);
    }
    const l = luma + <usize>(y * width);
    for (let x = 0; x < width; x++) {
      const v = <usize>load<u8>(l + <usize>x) << 1;
      const h = load<i32>(weight + <usize>(4 * x));
      const left = <i32>load<u16>(rowTables + v + 2 * <usize>load<i32>(tileA + <usize>(4 * x)));
      const right = <i32>load<u16>(rowTables + v + 2 * <usize>load<i32>(tileB + <usize>(4 * x)));
      const mapped = (left * (256 - h) + right * h + 32768) >> 16;
      store<i16>(delta + <usize>(2 * x), <i16>(mapped - <i32>(v >> 1)));
    }
    const p = data + <usize>(3 * y * width);
    let x = 0;
    for (; x + 8 <= width; x += 8) {
      const d = v128.load(delta + <usize>(2 * x));
      const q = p + <usize>(3 * x);
      const d0 = i8x16.shuffle(d, d, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5);
      const d1 = i8x16.shuffle(d, d, 4, 5, 6, 7, 6, 7, 6, 7, 8, 9, 8, 9, 8, 9, 10, 11);
      const d2 = i8x16.shuffle(d, d, 10, 11, 10, 11, 12, 13, 12, 13, 12, 13, 14, 15, 14, 15, 14, 15);
      const y0 = i16x8.add(v128.load8x8_u(q), d0);
      const y1 = i16x8.add(v128.load8x8_u(q, 8), d1);
      const y2 = i16x8.add(v128.load8x8_u(q, 16), d2);
      v128.store(q, i8x16.narrow_i16x8_u(y0, y1));
      v128.store64_lane(q + 16, i8x16.narrow_i16x8_u(y2, y2), 0);
    }
    for (; x < width; x++) {
      const d = <i32>load<i16>(delta + <usize>(2 * x));
      for (let c: usize = 0; c < 3; c++) {
        const q = p + <usize>(3 * x) + c;
        store<u8>(q, min(max(<i32>load<u8>(q) + d, 0), 255));
      }
    }
  }
}
