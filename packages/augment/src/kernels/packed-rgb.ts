import { SPAN_STRIDE } from "./span-table.js";
import type { SourceImage } from "./work-image.js";

/** Half of the 14-bit result scale. */
const HALF = 8192;
/** The two outer bytes of a packed pixel, R and B, as lanes of 16 bits. */
const LANES = 0xff00ff;

/** One pixel a word, R | G << 8 | B << 16. */
export interface PackedRgb {
  readonly pixels: Int32Array;
  readonly width: number;
}

// Reused from call to call: the kernels are synchronous.
let scratch = new Int32Array(0);

/**
 * The rows of an RGB picture that interior spans read, one pixel a word: a bilinear tap is then one load instead of three, and R and B are
 * interpolated by one multiplication. Rows keep their place; those that no span reads are left as they were.
 */
export function packRgb({ width, height, data }: SourceImage, spans: Int32Array, count: number): PackedRgb {
  let low = height;
  let high = -1;
  for (let s = 0, end = count * SPAN_STRIDE; s < end; s += SPAN_STRIDE) {
    if (spans[s + 7] !== 1) continue;
    const v = spans[s + 4]!;
    const w = v + spans[s + 6]! * (spans[s + 2]! - spans[s + 1]! - 1);
    const first = Math.min(v, w) >> 16;
    // Two more: the lower tap, and the half weight that sampling adds.
    const last = (Math.max(v, w) >> 16) + 2;
    if (first < low) low = first;
    if (last > high) high = last;
  }
  if (scratch.length < width * height) scratch = new Int32Array(width * height);
  const pixels = scratch;
  const to = width * Math.min(height, high + 1);
  let i = width * Math.max(0, low);
  const words = wordsOf(data);
  if (words !== null) {
    // Four pixels are three words; i is brought to a multiple of four first.
    for (; (i & 3) !== 0 && i < to; i++) pixels[i] = data[3 * i]! | (data[3 * i + 1]! << 8) | (data[3 * i + 2]! << 16);
    for (let j = (i >> 2) * 3; i + 4 <= to; i += 4, j += 3) {
      const a = words[j]!;
      const b = words[j + 1]!;
      const c = words[j + 2]!;
      pixels[i] = a & 0xffffff;
      pixels[i + 1] = (a >>> 24) | ((b & 0xffff) << 8);
      pixels[i + 2] = (b >>> 16) | ((c & 0xff) << 16);
      pixels[i + 3] = c >>> 8;
    }
  }
  for (; i < to; i++) pixels[i] = data[3 * i]! | (data[3 * i + 1]! << 8) | (data[3 * i + 2]! << 16);
  return { pixels, width };
}

/** The whole words of the bytes, or null where they do not begin at a word. */
const wordsOf = (data: Uint8Array): Int32Array | null =>
  (data.byteOffset & 3) === 0 ? new Int32Array(data.buffer, data.byteOffset, data.length >> 2) : null;

/**
 * Bilinear samples along one interior span, 7-bit weights: lerp(top, bottom) of lerp(left, right), exact integers, rounded once. Lanes hold
 * 8 + 7 bits after the first lerp; a + (b - a) w stays right across lanes because it is right modulo 2^32.
 *
 * @param o - first byte to write; `bytes` is the view of `out`
 * @param n - pixels, at least 1
 * @param u - 16.16 source position of the first upper left tap, as `v`; `du`, `dv` per pixel
 */
export function warpRgbSpan(
  { pixels, width }: PackedRgb,
  out: Uint8Array,
  bytes: DataView,
  o: number,
  n: number,
  u: number,
  v: number,
  du: number,
  dv: number,
): void {
  const last = o + 3 * n - 3;
  for (;;) {
    const p = (Math.imul(v >> 16, width) + (u >> 16)) | 0;
    const q = (p + width) | 0;
    const wx = (u >> 9) & 127;
    const wy = (v >> 9) & 127;
    const a = pixels[p]!;
    const b = pixels[p + 1]!;
    const c = pixels[q]!;
    const d = pixels[q + 1]!;
    const al = a & LANES;
    const cl = c & LANES;
    const top = ((al << 7) + Math.imul((b & LANES) - al, wx)) | 0;
    const bottom = ((cl << 7) + Math.imul((d & LANES) - cl, wx)) | 0;
    // G of both rows in one word.
    const gl = ((a >>> 8) & 0xff) | ((c << 8) & 0xff0000);
    const gr = ((b >>> 8) & 0xff) | ((d << 8) & 0xff0000);
    const greens = ((gl << 7) + Math.imul(gr - gl, wx)) | 0;
    const r = top & 0xffff;
    const g = greens & 0xffff;
    const l = top >>> 16;
    const rgb =
      (((r << 7) + Math.imul((bottom & 0xffff) - r, wy) + HALF) >> 14) |
      ((((g << 7) + Math.imul((greens >>> 16) - g, wy) + HALF) >> 6) & 0xff00) |
      ((((l << 7) + Math.imul((bottom >>> 16) - l, wy) + HALF) << 2) & 0xff0000);
    if (o >= last) {
      out[o] = rgb;
      out[o + 1] = rgb >> 8;
      out[o + 2] = rgb >> 16;
      return;
    }
    // The fourth byte is overwritten by the next pixel.
    bytes.setInt32(o, rgb, true);
    o += 3;
    u = (u + du) | 0;
    v = (v + dv) | 0;
  }
}
