import type { Box } from "@seg/coco-dataset";

/** Centre and size, `[cx, cy, width, height]`. */
export type BoxCxcywh = readonly [cx: number, cy: number, width: number, height: number];

/** Corners to centre and size, in the same unit. @example xyxyToCxcywh([1, 2, 5, 10]) // [3, 6, 4, 8] */
export function xyxyToCxcywh([x1, y1, x2, y2]: Box): BoxCxcywh {
  return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];
}

/** Centre and size to corners, in the same unit. @example cxcywhToXyxy([3, 6, 4, 8]) // [1, 2, 5, 10] */
export function cxcywhToXyxy([cx, cy, width, height]: BoxCxcywh): Box {
  return [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2];
}
