import type { Box, RgbImage } from "@seg/coco-dataset";
import { type Affine, composeAffine, invertAffine } from "./affine.js";
import { AugmentError } from "./errors.js";
import { blockSide, shrinkByBlocks } from "./kernels/shrink.js";
import { checkImage } from "./sample.js";

/** Weights of 11 bits: two passes of 11 and a byte fit 31 bits. */
const WEIGHT_BITS = 11;
const WEIGHT_ONE = 1 << WEIGHT_BITS;
/** One half in the sum of both passes. */
const HALF = 1 << (2 * WEIGHT_BITS - 1);

/** First integer whose pixel centre is at or after `edge`. */
const firstCentre = (edge: number): number => Math.ceil(edge - 0.5);

/**
 * Draws `image` through `affine` (source -> target, continuous coordinates) into `target`: those target pixels whose centre falls
 * into `sourceRect` of the source are written, the others stay. Bilinear; beyond its border the source repeats its last pixel, so edges stay
 * hard and whole-pixel moves copy bytes.
 *
 * @param sourceRect - limited to the source. @defaultValue the whole source
 * @throws AugmentError `invalid_affine`
 */
export function warpInto({
  target,
  image,
  affine,
  sourceRect = [0, 0, image.width, image.height],
}: {
  target: RgbImage;
  image: RgbImage;
  affine: Affine;
  sourceRect?: Box;
}): void {
  const rect: Box = [
    Math.max(0, sourceRect[0]),
    Math.max(0, sourceRect[1]),
    Math.min(image.width, sourceRect[2]),
    Math.min(image.height, sourceRect[3]),
  ];
  const bx = blockSide(Math.hypot(affine[0], affine[3]));
  const by = blockSide(Math.hypot(affine[1], affine[4]));
  invertAffine(affine);
  if (bx > 1 || by > 1) {
    const small = shrinkByBlocks({ ...image, channels: 3 }, bx, by);
    const grown = composeAffine([bx, 0, 0, 0, by, 0], affine);
    warpRect(target, small, grown, [rect[0] / bx, rect[1] / by, rect[2] / bx, rect[3] / by]);
  } else {
    warpRect(target, image, affine, rect);
  }
}

function warpRect(target: RgbImage, image: RgbImage, affine: Affine, rect: Box): void {
  if (affine[1] === 0 && affine[3] === 0 && affine[0] > 0 && affine[4] > 0) warpStraight(target, image, affine, rect);
  else warpTurned(target, image, affine, rect);
}

interface AxisTable {
  /** Target range [from, to). */
  readonly from: number;
  readonly to: number;
  /** Lower source index of each target index from `from` on; the upper one is the next, or the same at the border. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** Weight of the upper one, 0..2048. */
  readonly weight: Int32Array;
}

/** One axis of a map without rotation: target = scale * source + offset. */
function axisTable(
  scale: number,
  offset: number,
  sourceFrom: number,
  sourceTo: number,
  size: number,
  targetSize: number,
): AxisTable {
  const from = Math.max(0, firstCentre(scale * sourceFrom + offset));
  const to = Math.max(from, Math.min(targetSize, firstCentre(scale * sourceTo + offset)));
  const low = new Int32Array(to - from);
  const high = new Int32Array(to - from);
  const weight = new Int32Array(to - from);
  for (let i = from; i < to; i++) {
    const at = (i + 0.5 - offset) / scale - 0.5;
    const floor = Math.floor(at);
    low[i - from] = Math.min(size - 1, Math.max(0, floor));
    high[i - from] = Math.min(size - 1, Math.max(0, floor + 1));
    weight[i - from] = Math.round((at - floor) * WEIGHT_ONE);
  }
  return { from, to, low, high, weight };
}

/** Scale and translation: separable, each source row is resampled once and blended with its neighbour. */
function warpStraight(target: RgbImage, image: RgbImage, [a, , c, , e, f]: Affine, rect: Box): void {
  const src = image.data;
  const out = target.data;
  const x = axisTable(a, c, rect[0], rect[2], image.width, target.width);
  const y = axisTable(e, f, rect[1], rect[3], image.height, target.height);
  const columns = x.to - x.from;
  if (columns === 0) return;
  const stride = image.width * 3;
  const copiesX = a === 1 && Number.isInteger(c);
  if (copiesX && e === 1 && Number.isInteger(f)) {
    for (let i = y.from; i < y.to; i++) {
      const p = (i - f) * stride + (x.from - c) * 3;
      out.set(src.subarray(p, p + columns * 3), (i * target.width + x.from) * 3);
    }
    return;
  }
  const n = columns * 3;
  let rowA = new Int32Array(n);
  let rowB = new Int32Array(n);
  let inA = -1;
  let inB = -1;
  const { low, high, weight } = x;
  const fillRow = (row: Int32Array, index: number) => {
    const base = index * stride;
    for (let j = 0, o = 0; j < columns; j++, o += 3) {
      const p = base + low[j]! * 3;
      const q = base + high[j]! * 3;
      const w = weight[j]!;
      const r = src[p]!;
      const g = src[p + 1]!;
      const b = src[p + 2]!;
      row[o] = (r << WEIGHT_BITS) + Math.imul(src[q]! - r, w);
      row[o + 1] = (g << WEIGHT_BITS) + Math.imul(src[q + 1]! - g, w);
      row[o + 2] = (b << WEIGHT_BITS) + Math.imul(src[q + 2]! - b, w);
    }
  };
  for (let i = y.from; i < y.to; i++) {
    const lowRow = y.low[i - y.from]!;
    const highRow = y.high[i - y.from]!;
    if (inA !== lowRow) {
      if (inB === lowRow) {
        const swap = rowA;
        rowA = rowB;
        rowB = swap;
        inB = inA;
      } else {
        fillRow(rowA, lowRow);
      }
      inA = lowRow;
    }
    let upper = rowA;
    if (highRow !== lowRow) {
      if (inB !== highRow) {
        fillRow(rowB, highRow);
        inB = highRow;
      }
      upper = rowB;
    }
    const lower = rowA;
    const w = y.weight[i - y.from]!;
    const v = WEIGHT_ONE - w;
    const o = (i * target.width + x.from) * 3;
    for (let k = 0; k < n; k++) {
      out[o + k] = (Math.imul(lower[k]!, v) + Math.imul(upper[k]!, w) + HALF) >> (2 * WEIGHT_BITS);
    }
  }
}

/** Limits [from, to) to the columns where low <= start + step * (column + 0.5) < high. */
function columnRange(start: number, step: number, low: number, high: number, range: [number, number]): void {
  if (step === 0) {
    if (!(start >= low && start < high)) range[1] = range[0];
    return;
  }
  const a = (low - start) / step;
  const b = (high - start) / step;
  // A falling coordinate reaches `high` first; that end is open, so a centre exactly on it is left out.
  const from = step > 0 ? Math.ceil(a - 0.5) : Math.floor(b - 0.5) + 1;
  const to = step > 0 ? Math.ceil(b - 0.5) : Math.floor(a - 0.5) + 1;
  range[0] = Math.max(range[0], from);
  range[1] = Math.max(range[0], Math.min(range[1], to));
}

/** Any invertible map: 16.16 fixed-point walk along each target row. */
function warpTurned(target: RgbImage, image: RgbImage, affine: Affine, rect: Box): void {
  const [A, B, C, D, E, F] = invertAffine(affine);
  const src = image.data;
  const out = target.data;
  const { width, height } = image;
  const lastX = width - 1;
  const lastY = height - 1;
  const stepX = Math.round(A * 65536);
  const stepY = Math.round(D * 65536);
  const range: [number, number] = [0, 0];
  for (let i = 0; i < target.height; i++) {
    const u = B * (i + 0.5) + C;
    const v = E * (i + 0.5) + F;
    range[0] = 0;
    range[1] = target.width;
    columnRange(u, A, rect[0], rect[2], range);
    columnRange(v, D, rect[1], rect[3], range);
    const [from, to] = range;
    let fx = Math.round((u + A * (from + 0.5) - 0.5) * 65536);
    let fy = Math.round((v + D * (from + 0.5) - 0.5) * 65536);
    let o = (i * target.width + from) * 3;
    for (let j = from; j < to; j++, o += 3, fx += stepX, fy += stepY) {
      let x0 = fx >> 16;
      let y0 = fy >> 16;
      const wx = (fx & 0xffff) >> 5;
      const wy = (fy & 0xffff) >> 5;
      let x1 = x0 + 1;
      let y1 = y0 + 1;
      if (x0 < 0) x0 = 0;
      else if (x0 > lastX) x0 = lastX;
      if (x1 < 0) x1 = 0;
      else if (x1 > lastX) x1 = lastX;
      if (y0 < 0) y0 = 0;
      else if (y0 > lastY) y0 = lastY;
      if (y1 < 0) y1 = 0;
      else if (y1 > lastY) y1 = lastY;
      const p00 = (y0 * width + x0) * 3;
      const p01 = (y0 * width + x1) * 3;
      const p10 = (y1 * width + x0) * 3;
      const p11 = (y1 * width + x1) * 3;
      const vx = WEIGHT_ONE - wx;
      const vy = WEIGHT_ONE - wy;
      const w00 = Math.imul(vx, vy);
      const w01 = Math.imul(wx, vy);
      const w10 = Math.imul(vx, wy);
      const w11 = Math.imul(wx, wy);
      out[o] = (src[p00]! * w00 + src[p01]! * w01 + src[p10]! * w10 + src[p11]! * w11 + HALF) >> (2 * WEIGHT_BITS);
      out[o + 1] =
        (src[p00 + 1]! * w00 + src[p01 + 1]! * w01 + src[p10 + 1]! * w10 + src[p11 + 1]! * w11 + HALF) >>
        (2 * WEIGHT_BITS);
      out[o + 2] =
        (src[p00 + 2]! * w00 + src[p01 + 2]! * w01 + src[p10 + 2]! * w10 + src[p11 + 2]! * w11 + HALF) >>
        (2 * WEIGHT_BITS);
    }
  }
}

/** A canvas of one gray level. */
export function blankImage(width: number, height: number, fill: number): RgbImage {
  return { width, height, data: new Uint8Array(width * height * 3).fill(fill) };
}

/**
 * Bilinear affine warp of a picture; identity and whole-pixel moves copy bytes. Scales below 0.6 average blocks first.
 *
 * @param affine - source -> destination, continuous coordinates (pixel i covers [i, i + 1))
 * @param options.fill - gray level of what the source does not cover. @defaultValue 114
 * @throws AugmentError `invalid_affine`, `invalid_image`, `invalid_option`
 */
export function warpAffine(
  image: RgbImage,
  affine: Affine,
  { width, height, fill = 114 }: { width: number; height: number; fill?: number },
): RgbImage {
  checkImage(image);
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0)) {
    throw new AugmentError({ code: "invalid_option", message: `warpAffine cannot make ${width} x ${height} px.` });
  }
  const target = blankImage(width, height, fill);
  warpInto({ target, image, affine });
  return target;
}
