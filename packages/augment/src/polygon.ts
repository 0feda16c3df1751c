import type { Box } from "@seg/coco-dataset";
import type { Affine } from "./affine.js";

/** Flat `x, y, ...` through an affine map. */
export function transformPolygon(polygon: Float64Array, [a, b, c, d, e, f]: Affine): Float64Array {
  const out = new Float64Array(polygon.length);
  for (let i = 0; i + 1 < polygon.length; i += 2) {
    const x = polygon[i]!;
    const y = polygon[i + 1]!;
    out[i] = a * x + b * y + c;
    out[i + 1] = d * x + e * y + f;
  }
  return out;
}

/** Area by the shoelace formula, half |sum of cross products|. */
export function polygonArea(polygon: Float64Array): number {
  const n = polygon.length;
  let twice = 0;
  for (let i = 0, j = n - 2; i + 1 < n; j = i, i += 2) {
    twice += polygon[j]! * polygon[i + 1]! - polygon[i]! * polygon[j + 1]!;
  }
  return Math.abs(twice) / 2;
}

/** Bounds of all parts, or null without a vertex. */
export function polygonBounds(polygons: readonly Float64Array[]): Box | null {
  let x1 = Number.POSITIVE_INFINITY;
  let y1 = Number.POSITIVE_INFINITY;
  let x2 = Number.NEGATIVE_INFINITY;
  let y2 = Number.NEGATIVE_INFINITY;
  for (const polygon of polygons) {
    for (let i = 0; i + 1 < polygon.length; i += 2) {
      const x = polygon[i]!;
      const y = polygon[i + 1]!;
      if (x < x1) x1 = x;
      if (x > x2) x2 = x;
      if (y < y1) y1 = y;
      if (y > y2) y2 = y;
    }
  }
  return x2 >= x1 ? [x1, y1, x2, y2] : null;
}

/** One Sutherland-Hodgman step: keeps coordinate `axis` on the side `sign * (value - limit) >= 0`. Border points get `limit` exactly. */
function clipHalfPlane(points: number[], axis: 0 | 1, limit: number, sign: 1 | -1): number[] {
  const out: number[] = [];
  const n = points.length;
  for (let i = 0, j = n - 2; i < n; j = i, i += 2) {
    const inside = sign * (points[i + axis]! - limit) >= 0;
    const wasInside = sign * (points[j + axis]! - limit) >= 0;
    if (inside !== wasInside) {
      const t = (limit - points[j + axis]!) / (points[i + axis]! - points[j + axis]!);
      const other = points[j + 1 - axis]! + t * (points[i + 1 - axis]! - points[j + 1 - axis]!);
      if (axis === 0) out.push(limit, other);
      else out.push(other, limit);
    }
    if (inside) out.push(points[i]!, points[i + 1]!);
  }
  return out;
}

/**
 * Takes out duplicates and spikes along the border (a path that runs out and straight back encloses nothing, but would stretch the bounds).
 * Bridges between two parts of a concave polygon stay: their area is 0 and the even-odd fill ignores them.
 */
function withoutSpikes(points: number[]): number[] {
  let current = points;
  for (;;) {
    const out: number[] = [];
    const n = current.length;
    for (let i = 0; i < n; i += 2) {
      const previous = out.length > 0 ? out.length - 2 : -1;
      const px = previous < 0 ? current[n - 2]! : out[previous]!;
      const py = previous < 0 ? current[n - 1]! : out[previous + 1]!;
      const x = current[i]!;
      const y = current[i + 1]!;
      const next = (i + 2) % n;
      const nx = current[next]!;
      const ny = current[next + 1]!;
      if (x === px && y === py) continue;
      // Exact on the border, where one coordinate is the clip limit itself.
      const onLine = (x === px && x === nx) || (y === py && y === ny);
      if (onLine && (px - x) * (nx - x) + (py - y) * (ny - y) >= 0) continue;
      out.push(x, y);
    }
    if (out.length === n || out.length < 6) return out;
    current = out;
  }
}

/**
 * A polygon limited to a rectangle (Sutherland-Hodgman); the area is exact, also of concave polygons.
 *
 * @returns flat `x, y, ...`, or null when nothing with an area is left
 */
export function clipPolygon(polygon: Float64Array, [x1, y1, x2, y2]: Box): Float64Array | null {
  let inside = true;
  for (let i = 0; i + 1 < polygon.length && inside; i += 2) {
    const x = polygon[i]!;
    const y = polygon[i + 1]!;
    inside = x >= x1 && x <= x2 && y >= y1 && y <= y2;
  }
  if (inside) return polygon.length >= 6 ? polygon.slice() : null;
  let points = Array.from(polygon);
  points = clipHalfPlane(points, 0, x1, 1);
  points = clipHalfPlane(points, 0, x2, -1);
  points = clipHalfPlane(points, 1, y1, 1);
  points = clipHalfPlane(points, 1, y2, -1);
  points = withoutSpikes(points);
  return points.length >= 6 ? Float64Array.from(points) : null;
}
