import { clamped } from "./clamped.js";
import type { Kernels } from "./kernels.js";
import { padInto } from "./pad.js";
import type { WorkImage } from "./work-image.js";

let scratch = new Uint8Array(0);

/** Padded copy in a buffer that the next call overwrites. */
function padded(image: WorkImage, radius: number): Uint8Array {
  const size = (image.width + 2 * radius) * (image.height + 2 * radius) * image.channels;
  if (scratch.length < size) scratch = new Uint8Array(size);
  padInto(image, radius, scratch);
  return scratch;
}

/** Largest k whose window sum stays below 2^16, so that one multiplication divides. */
export const LARGEST_EXACT_BOX = 15;

/** 2^24 / n, rounded up: floor((sum + n/2) * r / 2^24) is the rounded mean for sums below 2^16 and n up to 225. */
export const reciprocal = (n: number): number => Math.ceil(2 ** 24 / n);

/** {@link Kernels.boxBlur}: running sums over rows, then along each row; round half up. */
export const boxBlur: Kernels["boxBlur"] = (image, k) => {
  const radius = (k - 1) >> 1;
  if (radius === 0) return;
  const { width, height, channels, data } = image;
  const src = padded(image, radius);
  const stride = (width + 2 * radius) * channels;
  const sums = new Int32Array(stride);
  for (let y = 0; y < k; y++) for (let i = 0, p = y * stride; i < stride; i++, p++) sums[i]! += src[p]!;
  const n = k * k;
  const half = n >> 1;
  // One integer multiplication divides exactly while sum * n < 2^20; else a float one, whose epsilon keeps exact multiples from falling below.
  const isSmall = (255 * n + half) * n < 1 << 20;
  const whole = Math.ceil((1 << 20) / n);
  const factor = 1 / n;
  const first = (k - 1) * channels;
  for (let y = 0, o = 0; y < height; y++) {
    if (y > 0) {
      const drop = (y - 1) * stride;
      const add = drop + k * stride;
      for (let i = 0; i < stride; i++) sums[i]! += src[add + i]! - src[drop + i]!;
    }
    const rowBytes = width * channels;
    for (let c = 0; c < channels; c++) {
      let sum = half;
      for (let i = c; i < first; i += channels) sum += sums[i]!;
      if (isSmall) {
        for (let i = c; i < rowBytes; i += channels) {
          sum += sums[i + first]!;
          data[o + i] = Math.imul(sum, whole) >>> 20;
          sum -= sums[i]!;
        }
      } else {
        for (let i = c; i < rowBytes; i += channels) {
          sum += sums[i + first]!;
          data[o + i] = (sum * factor + 1e-6) | 0;
          sum -= sums[i]!;
        }
      }
    }
    o += rowBytes;
  }
};

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
  const middle = new Uint16Array(rowBytes * rows);
  const centre = weights[radius]!;
  for (let y = 0; y < rows; y++) {
    const p = y * stride + radius * channels;
    const o = y * rowBytes;
    for (let i = 0; i < rowBytes; i++) {
      let sum = src[p + i]! * centre + 8;
      for (let t = 1; t <= radius; t++) {
        sum += (src[p + i - t * channels]! + src[p + i + t * channels]!) * weights[radius + t]!;
      }
      middle[o + i] = sum >> 4;
    }
  }
  for (let y = 0; y < height; y++) {
    const p = (y + radius) * rowBytes;
    const o = y * rowBytes;
    for (let i = 0; i < rowBytes; i++) {
      let sum = middle[p + i]! * centre + (1 << 19);
      for (let t = 1; t <= radius; t++) {
        sum += (middle[p + i - t * rowBytes]! + middle[p + i + t * rowBytes]!) * weights[radius + t]!;
      }
      data[o + i] = sum >> 20;
    }
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
  const factor = reciprocal(n);
  if (n === 3 || n === 5 || n === 7) {
    // The usual lengths keep their taps in registers.
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0] = taps;
    for (let y = 0; y < height; y++) {
      let p = (y + radius) * stride + radius * channels;
      const o = y * rowBytes;
      for (let i = o, end = o + rowBytes; i < end; i++, p++) {
        let sum = src[p + a]! + src[p + b]! + src[p + c]! + half;
        if (n > 3) sum += src[p + d]! + src[p + e]!;
        if (n > 5) sum += src[p + f]! + src[p + g]!;
        data[i] = (sum * factor) / 16777216;
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

/** {@link Kernels.sharpen}: three column sums roll along each row, so every byte of the three rows is read once. */
export const sharpen: Kernels["sharpen"] = (image, centre, side) => {
  const { width, height, channels } = image;
  const data = clamped(image.data);
  const src = padded(image, 1);
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
};
