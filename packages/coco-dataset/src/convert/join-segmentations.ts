import type { CocoSegmentation } from "../document.js";
import { toCompressed } from "../mask/compressed.js";
import { fromPolygons } from "../mask/polygons.js";
import { merge } from "../mask/rle.js";
import type { Rle } from "../types.js";

/**
 * One segmentation of several shapes of an object: polygons stay as parts; with a mask among them all become the run lengths of their
 * union. Null without shapes.
 */
export function joinSegmentations(
  polygons: readonly (readonly number[])[],
  masks: readonly Rle[],
  { width, height }: { width: number; height: number },
): CocoSegmentation | null {
  if (masks.length === 0) return polygons.length === 0 ? null : polygons;
  const parts = polygons.length === 0 ? masks : [...masks, fromPolygons(polygons, height, width)];
  return { size: [height, width], counts: toCompressed(merge(parts)) };
}
