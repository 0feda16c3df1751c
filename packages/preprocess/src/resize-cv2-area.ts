import type { RgbImage } from "@seg/coco-dataset";
import { cv2Scale } from "./cv2-table.js";
import { rintEven } from "./rounding.js";
import { checkImage, checkSize } from "./sizes.js";

const f = Math.fround;

/** Fixed-point weights have 11 bits. */
const SCALE = 2048;
/** Parts of a source pixel smaller than this are left out of a mean. */
const LEAST_SHARE = 1e-3;

const clip = (value: number): number => (value < 0 ? 0 : value > 255 ? 255 : value);

/** A part of a source pixel that an output pixel averages. */
interface Share {
  readonly to: number;
  readonly from: number;
  readonly share: number;
}

/** All parts, in order of the output pixels. */
function areaTable(from: number, to: number, scale: number): Share[] {
  const shares: Share[] = [];
  for (let d = 0; d < to; d++) {
    const start = d * scale;
    const end = start + scale;
    const cell = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > LEAST_SHARE) shares.push({ to: d, from: first - 1, share: f((first - start) / cell) });
    for (let s = first; s < last; s++) shares.push({ to: d, from: s, share: f(1 / cell) });
    if (end - last > LEAST_SHARE) {
      shares.push({ to: d, from: last, share: f(Math.min(Math.min(end - last, 1), cell) / cell) });
    }
  }
  return shares;
}

/** Linear weights of the enlarging case: each output pixel lies in one source pixel, or across the edge of two. */
function areaLinearTable(from: number, to: number): { taps: Int32Array; weights: Int32Array } {
  const inverse = to / from;
  const scale = 1 / inverse;
  const taps = new Int32Array(2 * to);
  const weights = new Int32Array(2 * to);
  for (let d = 0; d < to; d++) {
    let at = Math.floor(d * scale);
    let w = f(d + 1 - (at + 1) * inverse);
    w = w <= 0 ? 0 : f(w - Math.floor(w));
    if (at >= from - 1) {
      at = from - 1;
      w = 0;
    }
    taps[2 * d] = at;
    taps[2 * d + 1] = Math.min(at + 1, from - 1);
    weights[2 * d] = rintEven(f(f(1 - w) * SCALE));
    weights[2 * d + 1] = rintEven(f(w * SCALE));
  }
  return { taps, weights };
}

function enlargeByArea(image: RgbImage, width: number, height: number): RgbImage {
  const src = image.data;
  const across = areaLinearTable(image.width, width);
  const down = areaLinearTable(image.height, height);
  const stride = width * 3;
  const data = new Uint8Array(stride * height);
  const row = (y: number, i: number) => {
    const x = Math.floor(i / 3);
    const c = i - 3 * x;
    const p = y * image.width;
    return (
      src[(p + across.taps[2 * x]!) * 3 + c]! * across.weights[2 * x]! +
      src[(p + across.taps[2 * x + 1]!) * 3 + c]! * across.weights[2 * x + 1]!
    );
  };
  for (let y = 0; y < height; y++) {
    const [b0, b1] = [down.weights[2 * y]!, down.weights[2 * y + 1]!];
    for (let i = 0; i < stride; i++) {
      const upper = (Math.imul(row(down.taps[2 * y]!, i) >> 4, b0) >> 16) | 0;
      const lower = (Math.imul(row(down.taps[2 * y + 1]!, i) >> 4, b1) >> 16) | 0;
      data[y * stride + i] = (upper + lower + 2) >> 2;
    }
  }
  return { width, height, data };
}

/**
 * Bit-exact `cv2.resize(..., interpolation=INTER_AREA)` on RGB uint8 (OpenCV 5.0, x64): means over the covered source area when both sides
 * shrink (whole factors in integers, others in float32), else linear between the two source pixels that an output pixel touches.
 *
 * @returns a new image; never aliases the input
 * @throws PreprocessError `zero_dimension`
 */
export function resizeCv2Area(image: RgbImage, width: number, height: number): RgbImage {
  checkImage(image);
  checkSize(width, height);
  if (width === image.width && height === image.height) return { width, height, data: image.data.slice() };
  const src = image.data;
  const scaleX = cv2Scale(image.width, width);
  const scaleY = cv2Scale(image.height, height);
  if (scaleX < 1 || scaleY < 1) return enlargeByArea(image, width, height);
  const stride = width * 3;
  const data = new Uint8Array(stride * height);
  const [wholeX, wholeY] = [rintEven(scaleX), rintEven(scaleY)];
  if (Math.abs(scaleX - wholeX) < Number.EPSILON && Math.abs(scaleY - wholeY) < Number.EPSILON) {
    const factor = f(1 / (wholeX * wholeY));
    const isHalf = wholeX === 2 && wholeY === 2;
    for (let y = 0, o = 0; y < height; y++) {
      for (let i = 0; i < stride; i++, o++) {
        const x = Math.floor(i / 3);
        let sum = 0;
        for (let dy = 0; dy < wholeY; dy++) {
          const p = ((y * wholeY + dy) * image.width + x * wholeX) * 3 + (i - 3 * x);
          for (let dx = 0; dx < wholeX; dx++) sum += src[p + 3 * dx]!;
        }
        data[o] = isHalf ? (sum + 2) >> 2 : clip(rintEven(f(sum * factor)));
      }
    }
    return { width, height, data };
  }
  const across = areaTable(image.width, width, scaleX);
  const sums = new Float32Array(stride);
  const row = new Float32Array(stride);
  let at = -1;
  const write = () => {
    if (at >= 0) for (let i = 0; i < stride; i++) data[at * stride + i] = clip(rintEven(sums[i]!));
  };
  for (const { to, from, share } of areaTable(image.height, height, scaleY)) {
    row.fill(0);
    for (const part of across) {
      const p = (from * image.width + part.from) * 3;
      const o = part.to * 3;
      row[o] = row[o]! + f(src[p]! * part.share);
      row[o + 1] = row[o + 1]! + f(src[p + 1]! * part.share);
      row[o + 2] = row[o + 2]! + f(src[p + 2]! * part.share);
    }
    if (to === at) for (let i = 0; i < stride; i++) sums[i] = sums[i]! + f(share * row[i]!);
    else {
      write();
      at = to;
      for (let i = 0; i < stride; i++) sums[i] = share * row[i]!;
    }
  }
  write();
  return { width, height, data };
}
