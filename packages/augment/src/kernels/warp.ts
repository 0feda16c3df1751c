import { AugmentError } from "../errors.js";
import type { Kernels } from "./kernels.js";
import { packRgb, warpRgbSpan } from "./packed-rgb.js";
import { SPAN_STRIDE } from "./span-table.js";

/** Half a step of the 7-bit weights, in 16.16: truncation becomes rounding. */
const HALF_WEIGHT = 256;
/** Half of the 14-bit result scale. */
const HALF = 8192;

/** Index of a tap that may lie outside. */
function tap(index: number, size: number, border: string): number {
  if (index >= 0 && index < size) return index;
  if (border === "reflect") {
    // Mirrored with the border pixel doubled: period 2 * size.
    const period = 2 * size;
    const at = ((index % period) + period) % period;
    return at < size ? at : period - 1 - at;
  }
  if (border === "wrap") return ((index % size) + size) % size;
  return index < 0 ? 0 : size - 1;
}

/** Bilinear warp along spans in TypeScript: {@link Kernels.warp}. */
export const warp: Kernels["warp"] = ({ target, source, table: { spans, count }, clip, border }) => {
  if (target.channels !== source.channels) {
    throw new AugmentError({
      code: "invalid_image",
      message: `A warp from ${source.channels} to ${target.channels} channels is not possible.`,
    });
  }
  const src = source.data;
  const out = target.data;
  const { width, height, channels } = source;
  const stride = width * channels;
  const outWidth = target.width;
  const x1 = Math.round(clip[0] * 65536);
  const y1 = Math.round(clip[1] * 65536);
  const x2 = Math.round(clip[2] * 65536);
  const y2 = Math.round(clip[3] * 65536);
  const isConstant = border === "constant";
  const packed = channels === 3 ? packRgb(source, spans, count) : null;
  const bytes = new DataView(out.buffer, out.byteOffset, out.length);
  for (let k = 0; k < count; k++) {
    const s = k * SPAN_STRIDE;
    const row = spans[s]!;
    const from = spans[s + 1]!;
    const n = spans[s + 2]! - from;
    let u = spans[s + 3]! + HALF_WEIGHT;
    let v = spans[s + 4]! + HALF_WEIGHT;
    const du = spans[s + 5]!;
    const dv = spans[s + 6]!;
    let o = (row * outWidth + from) * channels;
    if (spans[s + 7] === 1) {
      if (dv === 0 && du === 65536 && (u & 0xffff) < 512 && (v & 0xffff) < 512) {
        // A whole-pixel shift (weights 0).
        const p = (v >> 16) * stride + (u >> 16) * channels;
        out.set(src.subarray(p, p + n * channels), o);
      } else if (channels === 3 && dv === 0 && du === -65536 && (u & 0xffff) < 512 && (v & 0xffff) < 512) {
        // A mirrored row.
        for (let i = 0, p = (v >> 16) * stride + (u >> 16) * 3; i < n; i++, o += 3, p -= 3) {
          out[o] = src[p]!;
          out[o + 1] = src[p + 1]!;
          out[o + 2] = src[p + 2]!;
        }
      } else if (packed !== null) {
        warpRgbSpan(packed, out, bytes, o, n, u, v, du, dv);
      } else {
        for (let i = 0; i < n; i++, u += du, v += dv) {
          const p = (v >> 16) * stride + (u >> 16) * channels;
          const wx = (u >> 9) & 127;
          const wy = (v >> 9) & 127;
          const w11 = wx * wy;
          const w01 = (wx << 7) - w11;
          const w10 = (wy << 7) - w11;
          const w00 = 16384 - (wx << 7) - w10;
          for (let c = 0; c < channels; c++, o++) {
            const a = p + c;
            const b = a + stride;
            out[o] = (src[a]! * w00 + src[a + channels]! * w01 + src[b]! * w10 + src[b + channels]! * w11 + HALF) >> 14;
          }
        }
      }
      continue;
    }
    for (let i = 0; i < n; i++, o += channels, u += du, v += dv) {
      if (isConstant) {
        const cx = u + 32768 - HALF_WEIGHT;
        const cy = v + 32768 - HALF_WEIGHT;
        if (cx < x1 || cy < y1 || cx >= x2 || cy >= y2) continue;
      }
      const xi = u >> 16;
      const yi = v >> 16;
      const left = tap(xi, width, border) * channels;
      const right = tap(xi + 1, width, border) * channels;
      const top = tap(yi, height, border) * stride;
      const bottom = tap(yi + 1, height, border) * stride;
      const wx = (u >> 9) & 127;
      const wy = (v >> 9) & 127;
      const w11 = wx * wy;
      const w01 = (wx << 7) - w11;
      const w10 = (wy << 7) - w11;
      const w00 = 16384 - (wx << 7) - w10;
      for (let c = 0; c < channels; c++) {
        out[o + c] =
          (src[top + left + c]! * w00 +
            src[top + right + c]! * w01 +
            src[bottom + left + c]! * w10 +
            src[bottom + right + c]! * w11 +
            HALF) >>
          14;
      }
    }
  }
};

/** Nearest neighbour (floor of the source position) of one-channel planes; with `constant` what lies outside stays. */
export function warpNearest({
  target,
  targetWidth,
  source,
  width,
  height,
  table: { spans, count },
}: {
  target: Uint8Array;
  targetWidth: number;
  source: Uint8Array;
  width: number;
  height: number;
  table: { readonly spans: Int32Array; readonly count: number };
}): void {
  for (let k = 0; k < count; k++) {
    const s = k * SPAN_STRIDE;
    const from = spans[s + 1]!;
    const n = spans[s + 2]! - from;
    let u = spans[s + 3]! + 32768;
    let v = spans[s + 4]! + 32768;
    const du = spans[s + 5]!;
    const dv = spans[s + 6]!;
    let o = spans[s]! * targetWidth + from;
    if (spans[s + 7] === 1) {
      for (let i = 0; i < n; i++, o++, u += du, v += dv) target[o] = source[(v >> 16) * width + (u >> 16)]!;
    } else {
      for (let i = 0; i < n; i++, o++, u += du, v += dv) {
        const x = u >> 16;
        const y = v >> 16;
        if (x >= 0 && y >= 0 && x < width && y < height) target[o] = source[y * width + x]!;
      }
    }
  }
}
