import { AugmentError } from "./errors.js";

/**
 * Fills polygons into a grid. Cell (i, j) is 1 iff the point ((j + 0.5) / scaleX, (i + 0.5) / scaleY) lies inside the union of the
 * parts, each by the even-odd rule; a point on a left or top edge is inside, on a right or bottom edge outside.
 *
 * @param options.polygons - flat `x, y, ...`, any coordinates, also outside of the grid
 * @param options.scaleX - grid cells per pixel; 1/4 for prototype masks. @defaultValue 1
 * @returns row-major [height * width] of 0 and 1
 * @throws AugmentError `invalid_option`
 */
export function rasterizePolygons({
  polygons,
  width,
  height,
  scaleX = 1,
  scaleY = 1,
}: {
  polygons: readonly Float64Array[];
  width: number;
  height: number;
  scaleX?: number;
  scaleY?: number;
}): Uint8Array {
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0 && scaleX > 0 && scaleY > 0)) {
    throw new AugmentError({
      code: "invalid_option",
      message: `rasterizePolygons needs a positive grid and scale, got ${width} x ${height} at ${scaleX} x ${scaleY}.`,
    });
  }
  const grid = new Uint8Array(width * height);
  for (const polygon of polygons) fillPart(grid, polygon, width, height, scaleX, scaleY);
  return grid;
}

/** Each edge toggles one column per row it crosses; a running XOR along the row is then the even-odd rule, without sorting. */
function fillPart(
  grid: Uint8Array,
  polygon: Float64Array,
  width: number,
  height: number,
  scaleX: number,
  scaleY: number,
) {
  const n = polygon.length;
  if (n < 6) return;
  let top = Number.POSITIVE_INFINITY;
  let bottom = Number.NEGATIVE_INFINITY;
  for (let i = 1; i < n; i += 2) {
    const y = polygon[i]! * scaleY;
    if (y < top) top = y;
    if (y > bottom) bottom = y;
  }
  const rowFrom = Math.max(0, Math.ceil(top - 0.5));
  const rowTo = Math.min(height, Math.ceil(bottom - 0.5));
  if (!(rowTo > rowFrom)) return;
  const stride = width + 1;
  const toggles = new Uint8Array((rowTo - rowFrom) * stride);
  let left = width;
  for (let i = 0, j = n - 2; i < n; j = i, i += 2) {
    let x0 = polygon[j]! * scaleX;
    let y0 = polygon[j + 1]! * scaleY;
    let x1 = polygon[i]! * scaleX;
    let y1 = polygon[i + 1]! * scaleY;
    if (y0 === y1) continue;
    if (y0 > y1) {
      [x0, x1] = [x1, x0];
      [y0, y1] = [y1, y0];
    }
    const from = Math.max(rowFrom, Math.ceil(y0 - 0.5));
    const to = Math.min(rowTo, Math.ceil(y1 - 0.5));
    const slope = (x1 - x0) / (y1 - y0);
    for (let row = from; row < to; row++) {
      const x = x0 + (row + 0.5 - y0) * slope;
      let column = Math.ceil(x - 0.5);
      if (column < 0) column = 0;
      else if (column > width) column = width;
      if (column < left) left = column;
      const at = (row - rowFrom) * stride + column;
      toggles[at] = toggles[at]! ^ 1;
    }
  }
  for (let row = rowFrom; row < rowTo; row++) {
    const t = (row - rowFrom) * stride;
    const o = row * width;
    let inside = 0;
    for (let j = left; j < width; j++) {
      inside ^= toggles[t + j]!;
      grid[o + j]! |= inside;
    }
  }
}
