import { z } from "zod";
import type { Homography } from "../core/homography.js";
import { number } from "../core/schemas.js";
import type { GeometricTransform } from "../core/transform.js";

/** No crop side is below this many pixels, or the image's side. */
const MIN_SIDE = 32;

interface Params {
  erosionRate: number;
  minSideFrac: number;
  lockAspect: boolean;
}
interface Crop {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
  readonly [key: string]: number;
}

/** Grows [low, high] to at least `side` about its middle, inside [0, limit]. */
function atLeast(low: number, high: number, side: number, limit: number): [number, number] {
  if (high - low >= side) return [low, high];
  const start = Math.min(Math.max(0, Math.round((low + high - side) / 2)), limit - side);
  return [start, start + side];
}

/**
 * A random crop that keeps every instance (each side of their union eroded by erosionRate * size / 2), scaled to the canvas. Without instances a
 * crop of the canvas's aspect, height U(H (1 - erosionRate), H).
 */
export const RandomSizedBBoxSafeCrop: GeometricTransform<Params, Crop> = {
  type: "RandomSizedBBoxSafeCrop",
  kind: "geometric",
  schema: z.strictObject({
    erosionRate: number(0, 0.99).default(0),
    minSideFrac: number(0, 1).default(0.1),
    lockAspect: z.boolean().default(false),
  }),
  keys: ["erosionRate", "minSideFrac", "lockAspect"],
  sample(random, { erosionRate, minSideFrac, lockAspect }, { width, height, extents }) {
    const u = Array.from({ length: 4 }, () => random.uniform());
    // The union of what lies on the canvas; what is outside cannot be kept.
    let left = width;
    let top = height;
    let right = 0;
    let bottom = 0;
    for (const [x1, y1, x2, y2] of extents) {
      if (x2 <= 0 || y2 <= 0 || x1 >= width || y1 >= height) continue;
      left = Math.min(left, Math.max(0, x1));
      top = Math.min(top, Math.max(0, y1));
      right = Math.max(right, Math.min(width, x2));
      bottom = Math.max(bottom, Math.min(height, y2));
    }
    let x: [number, number];
    let y: [number, number];
    if (right <= left || bottom <= top) {
      const h = height * (1 - erosionRate * u[0]!);
      const w = (h * width) / height;
      x = [Math.floor((width - w) * u[1]!), Math.ceil((width - w) * u[1]! + w)];
      y = [Math.floor((height - h) * u[2]!), Math.ceil((height - h) * u[2]! + h)];
    } else {
      const dx = (erosionRate * (right - left)) / 2;
      const dy = (erosionRate * (bottom - top)) / 2;
      const [bx1, by1, bx2, by2] = [left + dx, top + dy, right - dx, bottom - dy];
      x = [Math.floor(bx1 * u[0]!), Math.ceil(bx2 + (width - bx2) * u[2]!)];
      y = [Math.floor(by1 * u[1]!), Math.ceil(by2 + (height - by2) * u[3]!)];
    }
    const least = (side: number) => Math.min(side, Math.max(MIN_SIDE, Math.ceil(minSideFrac * side)));
    x = atLeast(x[0], Math.min(width, x[1]), least(width), width);
    y = atLeast(y[0], Math.min(height, y[1]), least(height), height);
    if (lockAspect) {
      const factor = Math.max((x[1] - x[0]) / width, (y[1] - y[0]) / height);
      x = atLeast(x[0], x[1], Math.min(width, Math.round(factor * width)), width);
      y = atLeast(y[0], y[1], Math.min(height, Math.round(factor * height)), height);
    }
    return { x1: x[0], y1: y[0], x2: x[1], y2: y[1] };
  },
  matrix({ x1, y1, x2, y2 }, { width, height }): Homography {
    const sx = width / (x2 - x1);
    const sy = height / (y2 - y1);
    return [sx, 0, -x1 * sx, 0, sy, -y1 * sy, 0, 0, 1];
  },
};
