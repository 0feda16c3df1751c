import { type Box, mask, type Rle } from "@seg/coco-dataset";
import { rasterizePolygons } from "../rasterize.js";

/** A binary mask, only the part that holds pixels: value (x + i, y + j) of the picture is data[j * width + i]. */
export interface Bitmap {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** 0 or 1. */
  readonly data: Uint8Array;
}

export const EMPTY_BITMAP: Bitmap = { x: 0, y: 0, width: 0, height: 0, data: new Uint8Array(0) };

export function bitmapArea({ data }: Bitmap): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]!;
  return sum;
}

/** Tight bounds in picture pixels, or null when empty. */
export function bitmapBounds({ x, y, width, height, data }: Bitmap): Box | null {
  let left = width;
  let right = -1;
  let top = height;
  let bottom = -1;
  for (let j = 0, p = 0; j < height; j++) {
    for (let i = 0; i < width; i++, p++) {
      if (data[p] === 0) continue;
      if (i < left) left = i;
      if (i > right) right = i;
      if (j < top) top = j;
      bottom = j;
    }
  }
  return right < 0 ? null : [x + left, y + top, x + right + 1, y + bottom + 1];
}

/** The part of a full plane inside a rectangle where `bit` is set, cut to its bounds. */
export function bitmapFromPlane(
  plane: Uint8Array,
  planeWidth: number,
  bit: number,
  [x1, y1, x2, y2]: readonly [number, number, number, number],
): Bitmap {
  let left = x2;
  let right = x1 - 1;
  let top = y2;
  let bottom = y1 - 1;
  for (let y = y1; y < y2; y++) {
    for (let x = x1, p = y * planeWidth + x1; x < x2; x++, p++) {
      if ((plane[p]! & bit) === 0) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  if (right < left) return EMPTY_BITMAP;
  const width = right - left + 1;
  const height = bottom - top + 1;
  const data = new Uint8Array(width * height);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0, p = (top + y) * planeWidth + left; x < width; x++, p++, o++) {
      data[o] = (plane[p]! & bit) === 0 ? 0 : 1;
    }
  }
  return { x: left, y: top, width, height, data };
}

export function bitmapFromRle(rle: Rle): Bitmap {
  const [x, y, width, height] = mask.toBbox(rle);
  if (width === 0 || height === 0) return EMPTY_BITMAP;
  const rows = rle.size[0];
  const data = new Uint8Array(width * height);
  let position = 0;
  for (let i = 0; i < rle.counts.length; i++) {
    const end = position + rle.counts[i]!;
    if ((i & 1) === 1) {
      for (let p = position; p < end; p++) {
        const column = Math.floor(p / rows);
        data[(p - column * rows - y) * width + column - x] = 1;
      }
    }
    position = end;
  }
  return { x, y, width, height, data };
}

/** Run lengths of a picture of width x height; what lies outside is cut. */
export function bitmapToRle(bitmap: Bitmap, width: number, height: number): Rle {
  const counts: number[] = [];
  let run = 0;
  let current = 0;
  for (let x = 0; x < width; x++) {
    const i = x - bitmap.x;
    if (i < 0 || i >= bitmap.width) {
      // A column of zeros.
      if (current === 0) run += height;
      else {
        counts.push(run);
        run = height;
        current = 0;
      }
      continue;
    }
    for (let y = 0; y < height; y++) {
      const j = y - bitmap.y;
      const value = j < 0 || j >= bitmap.height ? 0 : bitmap.data[j * bitmap.width + i]!;
      if (value === current) run++;
      else {
        counts.push(run);
        run = 1;
        current = value;
      }
    }
  }
  counts.push(run);
  return { size: [height, width], counts: Uint32Array.from(counts) };
}

/** A full height x width plane of 0 and 1. */
export function bitmapToPlane(bitmap: Bitmap, width: number, height: number): Uint8Array {
  const out = new Uint8Array(width * height);
  const left = Math.max(0, bitmap.x);
  const right = Math.min(width, bitmap.x + bitmap.width);
  for (let y = Math.max(0, bitmap.y); y < Math.min(height, bitmap.y + bitmap.height) && right > left; y++) {
    const p = (y - bitmap.y) * bitmap.width + left - bitmap.x;
    out.set(bitmap.data.subarray(p, p + right - left), y * width + left);
  }
  return out;
}

/** Pixels whose centres lie in the united polygons, inside a width x height canvas. */
export function bitmapFromPolygons(
  polygons: readonly Float64Array[],
  bounds: Box,
  width: number,
  height: number,
): Bitmap {
  const x = Math.max(0, Math.floor(bounds[0]));
  const y = Math.max(0, Math.floor(bounds[1]));
  const w = Math.min(width, Math.ceil(bounds[2])) - x;
  const h = Math.min(height, Math.ceil(bounds[3])) - y;
  if (!(w > 0 && h > 0)) return EMPTY_BITMAP;
  const moved = polygons.map((polygon) => polygon.map((value, i) => value - (i % 2 === 0 ? x : y)));
  return { x, y, width: w, height: h, data: rasterizePolygons({ polygons: moved, width: w, height: h }) };
}

/** `target` without the pixels of `cover`, and how many it lost; the same object when it lost none. */
export function subtractBitmap(target: Bitmap, cover: Bitmap): { bitmap: Bitmap; lost: number } {
  const left = Math.max(target.x, cover.x);
  const right = Math.min(target.x + target.width, cover.x + cover.width);
  const top = Math.max(target.y, cover.y);
  const bottom = Math.min(target.y + target.height, cover.y + cover.height);
  let data: Uint8Array | null = null;
  let lost = 0;
  for (let y = top; y < bottom; y++) {
    let p = (y - target.y) * target.width + left - target.x;
    let q = (y - cover.y) * cover.width + left - cover.x;
    for (let x = left; x < right; x++, p++, q++) {
      if (cover.data[q] === 0 || target.data[p] === 0) continue;
      data ??= target.data.slice();
      data[p] = 0;
      lost++;
    }
  }
  return data === null ? { bitmap: target, lost } : { bitmap: { ...target, data }, lost };
}

/** `bitmap` without the pixels of whole-pixel rectangles. */
export function eraseRects(bitmap: Bitmap, rects: readonly Box[]): { bitmap: Bitmap; lost: number } {
  let current = bitmap;
  let lost = 0;
  for (const [x1, y1, x2, y2] of rects) {
    const cover = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
    const result = subtractBitmap(current, { ...cover, data: new Uint8Array(cover.width * cover.height).fill(1) });
    current = result.bitmap;
    lost += result.lost;
  }
  return { bitmap: current, lost };
}
