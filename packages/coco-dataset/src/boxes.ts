import type { Box, BoxXywh } from "./types.js";

/**
 * COCO's `[x, y, width, height]` as corners, pixels.
 * @example xywhToXyxy([1, 2, 3, 4]) // [1, 2, 4, 6]
 */
export function xywhToXyxy(box: BoxXywh): Box {
  return [box[0], box[1], box[0] + box[2], box[1] + box[3]];
}

/**
 * Corners as COCO's `[x, y, width, height]`, pixels.
 * @example xyxyToXywh([1, 2, 4, 6]) // [1, 2, 3, 4]
 */
export function xyxyToXywh(box: Box): BoxXywh {
  return [box[0], box[1], box[2] - box[0], box[3] - box[1]];
}

/**
 * Intersection over union, |A and B| / |A or B|, of half-open xyxy boxes in one pixel space; 0 if disjoint or empty.
 * @example boxIou([0, 0, 2, 2], [1, 1, 3, 3]) // 1 / 7
 */
export function boxIou(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (!(width > 0 && height > 0)) return 0;
  const intersection = width * height;
  return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection);
}
