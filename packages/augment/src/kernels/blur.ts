import { clamped } from "./clamped.js";
import type { Kernels } from "./kernels.js";
import { padInto } from "./pad.js";
import type { WorkImage } from "./work-image.js";

let scratch = new Uint8Array(0);
let middle = new Uint16Array(0);

/** Bytes 0 and 2 of a word, as lanes of 16 bits. */
const LANES = 0xff00ff;

/** Most taps whose mean floor(sum * ceil(2^20 / n) / 2^20) is exact: (255 n + n / 2) n < 2^20. */
const LARGEST_EXACT_LINE = 63;

/** Padded copy in a buffer that the next call overwrites. */
function padded(image: WorkImage, radius: number): Uint8Array {
  // Up to two words more may be read beyond the last row.
  const size = (image.width + 2 * radius) * (image.height + 2 * radius) * image.channels + 11;
  if (scratch.length < size) scratch = new Uint8Array(size);
  padInto(image, radius, scratch);
  return scratch;
}

/** Largest k whose window sum stays below 2^16, so that one multiplication divides. */
export const LARGEST_EXACT_BOX = 15;

/** {@link Kernels.boxBlur}: running sums over rows, then along each row; round half up. */
export const boxBlur: Kernels["boxBlur"] = (image, k) => {
  const radius = (k - 1) >> 1;
  if (radius === 0) return;
  const { width, height, channels, data } = image;
  const src = padded(image, radius);
  const stride = (width + 2 * radius) * channels;
  const n = k * k;
  const half = n >> 1;
  const rowBytes = width * channels;
  const first = (k - 1) * channels;
  if (k <= LARGEST_EXACT_BOX) {
    // Column sums fit 16 bits: two neighbouring bytes a word.
    const words = (stride + 3) >> 2;
    const pairs = new Int32Array(2 * words);
    const sums = new Uint16Array(pairs.buffer);
    const bytes = new DataView(src.buffer, src.byteOffset, src.length);
    // 2^24 / n, rounded up: floor((sum + n/2) * whole / 2^24) is the rounded mean for sums below 2^16 and n up to 225.
    const whole = Math.ceil(2 ** 24 / n);
    for (let y = 0; y < k; y++) addRow(bytes, y * stride, pairs);
    for (let y = 0, o = 0; y < height; y++, o += rowBytes) {
      if (y > 0) rollRow(bytes, (y - 1 + k) * stride, (y - 1) * stride, pairs);
      for (let c = 0; c < channels; c++) {
        let sum = half;
        for (let i = c; i < first; i += channels) sum += sums[i]!;
        for (let i = c; i < rowBytes; i += channels) {
          sum += sums[i + first]!;
          data[o + i] = (sum * whole) / 16777216;
          sum -= sums[i]!;
        }
      }
    }
    return;
  }
  const sums = new Int32Array(stride);
  for (let y = 0; y < k; y++) for (let i = 0, p = y * stride; i < stride; i++, p++) sums[i]! += src[p]!;
  // The epsilon keeps exact multiples from falling below.
  const factor = 1 / n;
  for (let y = 0, o = 0; y < height; y++, o += rowBytes) {
    if (y > 0) {
      const drop = (y - 1) * stride;
      const add = drop + k * stride;
      for (let i = 0; i < stride; i++) sums[i]! += src[add + i]! - src[drop + i]!;
    }
    for (let c = 0; c < channels; c++) {
      let sum = half;
      for (let i = c; i < first; i += channels) sum += sums[i]!;
      for (let i = c; i < rowBytes; i += channels) {
        sum += sums[i + first]!;
        data[o + i] = (sum * factor + 1e-6) | 0;
        sum -= sums[i]!;
      }
    }
  }
};

/** Adds a row of bytes to sums of 16 bits, two a word. Reads up to three bytes more. */
function addRow(bytes: DataView, row: number, pairs: Int32Array): void {
  for (let j = 0, p = row; j < pairs.length; j += 2, p += 4) {
    const a = bytes.getInt32(p, true);
    pairs[j]! += (a & 0xff) | ((a << 8) & 0xff0000);
    pairs[j + 1]! += ((a >>> 16) & 0xff) | ((a >>> 8) & 0xff0000);
  }
}

/** The same, and subtracts another row. */
function rollRow(bytes: DataView, add: number, drop: number, pairs: Int32Array): void {
  for (let j = 0, p = add, q = drop; j < pairs.length; j += 2, p += 4, q += 4) {
    const a = bytes.getInt32(p, true);
    const b = bytes.getInt32(q, true);
    pairs[j]! += ((a & 0xff) | ((a << 8) & 0xff0000)) - ((b & 0xff) | ((b << 8) & 0xff0000));
    pairs[j + 1]! += (((a >>> 16) & 0xff) | ((a >>> 8) & 0xff0000)) - (((b >>> 16) & 0xff) | ((b >>> 8) & 0xff0000));
  }
}

/** Pairs of taps that one sweep over a row adds; more do not fit the registers. */
const TAPS_A_SWEEP = 3;

/**
 * Adds w (row[p + i - t step] + row[p + i + t step]) to `sums`, for the taps t from 1 to radius: a few taps a sweep, their weights in registers.
 */
function addTaps(
  row: Uint16Array,
  p: number,
  step: number,
  weights: Int32Array,
  radius: number,
  sums: Int32Array,
  n: number,
): void {
  for (let t = 1; t <= radius; t += TAPS_A_SWEEP) {
    // Beyond the radius the weight is 0, and the place that of the tap before.
    const a = t * step;
    const b = Math.min(radius, t + 1) * step;
    const c = Math.min(radius, t + 2) * step;
    const wa = weights[radius + t]!;
    const wb = t + 1 <= radius ? weights[radius + t + 1]! : 0;
    const wc = t + 2 <= radius ? weights[radius + t + 2]! : 0;
    for (let i = 0, q = p; i < n; i++, q++) {
      sums[i] =
        (sums[i]! +
          Math.imul(row[q - a]! + row[q + a]!, wa) +
          Math.imul(row[q - b]! + row[q + b]!, wb) +
          Math.imul(row[q - c]! + row[q + c]!, wc)) |
        0;
    }
  }
}

/** {@link Kernels.separable}: rows to 16 bits, then columns. */
export const separable: Kernels["separable"] = (image, weights) => {
  const radius = (weights.length - 1) >> 1;
  if (radius === 0) return;
  const { width, height, channels, data } = image;
  const src = padded(image, radius);
  const stride = (width + 2 * radius) * channels;
  const rowBytes = width * channels;
  const rows = height + 2 * radius;
  // 8 + 12 bits of the first pass, rounded to 8 + 8.
  if (middle.length < rowBytes * rows) middle = new Uint16Array(rowBytes * rows);
  const between = middle;
  const sums = new Int32Array(rowBytes);
  const row = new Uint16Array(stride);
  const first = radius * channels;
  const centre = weights[radius]!;
  for (let y = 0; y < rows; y++) {
    const p = y * stride;
    const o = y * rowBytes;
    for (let i = 0; i < stride; i++) row[i] = src[p + i]!;
    for (let i = 0; i < rowBytes; i++) sums[i] = row[first + i]! * centre + 8;
    addTaps(row, first, channels, weights, radius, sums, rowBytes);
    for (let i = 0; i < rowBytes; i++) between[o + i] = sums[i]! >> 4;
  }
  for (let y = 0; y < height; y++) {
    const p = (y + radius) * rowBytes;
    const o = y * rowBytes;
    for (let i = 0; i < rowBytes; i++) sums[i] = Math.imul(between[p + i]!, centre) + (1 << 19);
    addTaps(between, p, rowBytes, weights, radius, sums, rowBytes);
    for (let i = 0; i < rowBytes; i++) data[o + i] = sums[i]! >> 20;
  }
};

/** {@link Kernels.lineBlur}: mean over the offsets, round half up. */
export const lineBlur: Kernels["lineBlur"] = (image, offsets) => {
  const n = offsets.length / 2;
  let radius = 0;
  for (const offset of offsets) radius = Math.max(radius, Math.abs(offset));
  if (radius === 0) return;
  const { width, height, channels, data } = image;
  const src = padded(image, radius);
  const stride = (width + 2 * radius) * channels;
  const taps = Int32Array.from({ length: n }, (_, t) => offsets[2 * t + 1]! * stride + offsets[2 * t]! * channels);
  const rowBytes = width * channels;
  const half = n >> 1;
  if (n <= LARGEST_EXACT_LINE) {
    const bytes = new DataView(src.buffer, src.byteOffset, src.length);
    const out = new DataView(data.buffer, data.byteOffset, data.length);
    const whole = Math.ceil((1 << 20) / n);
    const halves = half * 0x10001;
    for (let y = 0; y < height; y++) {
      const base = (y + radius) * stride + radius * channels;
      const o = y * rowBytes;
      let i = 0;
      // Four bytes a load, as two words of 16-bit sums.
      for (; i + 4 <= rowBytes; i += 4) {
        let even = halves;
        let odd = halves;
        const p = base + i;
        for (let t = 0; t + 3 <= n; t += 3) {
          const a = bytes.getInt32(p + taps[t]!, true);
          const b = bytes.getInt32(p + taps[t + 1]!, true);
          const c = bytes.getInt32(p + taps[t + 2]!, true);
          even = (even + (a & LANES) + (b & LANES) + (c & LANES)) | 0;
          odd = (odd + ((a >>> 8) & LANES) + ((b >>> 8) & LANES) + ((c >>> 8) & LANES)) | 0;
        }
        for (let t = n - (n % 3); t < n; t++) {
          const a = bytes.getInt32(p + taps[t]!, true);
          even = (even + (a & LANES)) | 0;
          odd = (odd + ((a >>> 8) & LANES)) | 0;
        }
        out.setInt32(
          o + i,
          (Math.imul(even & 0xffff, whole) >>> 20) |
            ((Math.imul(odd & 0xffff, whole) >>> 20) << 8) |
            ((Math.imul(even >>> 16, whole) >>> 20) << 16) |
            ((Math.imul(odd >>> 16, whole) >>> 20) << 24),
          true,
        );
      }
      for (; i < rowBytes; i++) {
        let sum = half;
        for (let t = 0; t < n; t++) sum += src[base + i + taps[t]!]!;
        data[o + i] = Math.imul(sum, whole) >>> 20;
      }
    }
    return;
  }
  const sums = new Float64Array(rowBytes);
  for (let y = 0; y < height; y++) {
    const base = (y + radius) * stride + radius * channels;
    sums.fill(half);
    for (let t = 0; t < n; t++) for (let i = 0, p = base + taps[t]!; i < rowBytes; i++, p++) sums[i]! += src[p]!;
    for (let i = 0, o = y * rowBytes; i < rowBytes; i++, o++) data[o] = Math.floor((sums[i]! + 1e-6) / n);
  }
};

/** {@link Kernels.sharpen}. */
export const sharpen: Kernels["sharpen"] = (image, centre, side) => {
  const src = padded(image, 1);
  if (image.channels === 3) sharpenRgb(image, src, centre, side);
  else sharpenAny(image, src, centre, side);
};

/**
 * Sums of 3 x 3 in lanes of 16 bits, four bytes at a time. The neighbours of byte i of a row are bytes i - 3 and i + 3, so those of the even bytes
 * of a word are odd bytes of the word and of the words beside it, and the other way round.
 */
function sharpenRgb(image: WorkImage, src: Uint8Array, centre: number, side: number): void {
  const { width, height } = image;
  const data = clamped(image.data);
  const bytes = new DataView(src.buffer, src.byteOffset, src.length);
  const stride = (width + 2) * 3;
  const rowBytes = width * 3;
  for (let y = 0, o = 0; y < height; y++) {
    // Of the first of three padded rows.
    const first = y * stride;
    const second = first + stride;
    const third = second + stride;
    let a = bytes.getInt32(first, true) << 8;
    let b = bytes.getInt32(second, true) << 8;
    let c = bytes.getInt32(third, true) << 8;
    // Column sums of the word before, this and the next one.
    let oddBefore = ((a >>> 8) & LANES) + ((b >>> 8) & LANES) + ((c >>> 8) & LANES);
    let evenBefore = (a & LANES) + (b & LANES) + (c & LANES);
    a = bytes.getInt32(first + 3, true);
    b = bytes.getInt32(second + 3, true);
    c = bytes.getInt32(third + 3, true);
    let even = (a & LANES) + (b & LANES) + (c & LANES);
    let odd = ((a >>> 8) & LANES) + ((b >>> 8) & LANES) + ((c >>> 8) & LANES);
    const end = o + rowBytes;
    for (let p = 7; o < end; p += 4) {
      const x = b;
      a = bytes.getInt32(first + p, true);
      b = bytes.getInt32(second + p, true);
      c = bytes.getInt32(third + p, true);
      const evenAfter = (a & LANES) + (b & LANES) + (c & LANES);
      const oddAfter = ((a >>> 8) & LANES) + ((b >>> 8) & LANES) + ((c >>> 8) & LANES);
      const evenSum = (even + oddBefore + ((odd >>> 16) | (oddAfter << 16))) | 0;
      const oddSum = (odd + ((evenBefore >>> 16) | (even << 16)) + evenAfter) | 0;
      data[o] = ((x & 0xff) * centre - (evenSum & 0xffff) * side + 2048) >> 12;
      if (o + 4 > end) {
        // The row ends inside of the word.
        if (o + 1 < end) data[o + 1] = (((x >>> 8) & 0xff) * centre - (oddSum & 0xffff) * side + 2048) >> 12;
        if (o + 2 < end) data[o + 2] = (((x >>> 16) & 0xff) * centre - (evenSum >>> 16) * side + 2048) >> 12;
        o = end;
        break;
      }
      data[o + 1] = (((x >>> 8) & 0xff) * centre - (oddSum & 0xffff) * side + 2048) >> 12;
      data[o + 2] = (((x >>> 16) & 0xff) * centre - (evenSum >>> 16) * side + 2048) >> 12;
      data[o + 3] = ((x >>> 24) * centre - (oddSum >>> 16) * side + 2048) >> 12;
      o += 4;
      evenBefore = even;
      oddBefore = odd;
      even = evenAfter;
      odd = oddAfter;
    }
  }
}

/** Three column sums roll along each row, so every byte of the three rows is read once. */
function sharpenAny(image: WorkImage, src: Uint8Array, centre: number, side: number): void {
  const { width, height, channels } = image;
  const data = clamped(image.data);
  const stride = (width + 2) * channels;
  const rowBytes = width * channels;
  for (let y = 0; y < height; y++) {
    for (let c = 0; c < channels; c++) {
      let p = y * stride + c;
      let q = p + stride;
      let r = q + stride;
      let left = src[p]! + src[q]! + src[r]!;
      p += channels;
      q += channels;
      r += channels;
      let x = src[q]!;
      let middle = src[p]! + x + src[r]!;
      for (let o = y * rowBytes + c, end = (y + 1) * rowBytes; o < end; o += channels) {
        p += channels;
        q += channels;
        r += channels;
        const next = src[q]!;
        const right = src[p]! + next + src[r]!;
        data[o] = (x * centre - (left + middle + right) * side + 2048) >> 12;
        left = middle;
        middle = right;
        x = next;
      }
    }
  }
}
