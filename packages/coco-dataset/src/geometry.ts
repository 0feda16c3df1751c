import type { CocoSegmentation } from "./document.js";
import { area as rleArea, toBbox } from "./mask/rle.js";
import { isPolygons } from "./presence.js";
import { segmentationToRle } from "./segmentation.js";
import type { BoxXywh } from "./types.js";

/** Float minimum and maximum over all parts: what official COCO boxes are, not the box of the rasterised mask. */
export function polygonsBbox(parts: readonly (readonly number[])[]): BoxXywh {
  let left = Infinity;
  let top = Infinity;
  let right = -Infinity;
  let bottom = -Infinity;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) {
      const x = part[i]!;
      const y = part[i + 1]!;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
    }
  }
  return [left, top, right - left, bottom - top];
}

/** Sum over parts of |shoelace|, as official COCO areas are (overlaps count twice). */
export function polygonsArea(parts: readonly (readonly number[])[]): number {
  let total = 0;
  for (const part of parts) {
    let doubled = 0;
    for (let i = 0, j = part.length - 2; i < part.length; j = i, i += 2) {
      doubled += part[j]! * part[i + 1]! - part[i]! * part[j + 1]!;
    }
    total += Math.abs(doubled) / 2;
  }
  return total;
}

/**
 * Box and area of a usable segmentation by the rules of completion.
 * @throws RleError on run lengths of another size or length
 */
export function segmentationGeometry(
  segmentation: CocoSegmentation,
  height: number,
  width: number,
  options: { annotationId?: number | null } = {},
): { bbox: BoxXywh; area: number; source: "polygons" | "rle" } {
  if (isPolygons(segmentation)) {
    return { bbox: polygonsBbox(segmentation), area: polygonsArea(segmentation), source: "polygons" };
  }
  const rle = segmentationToRle(segmentation, height, width, options);
  return { bbox: toBbox(rle), area: rleArea(rle), source: "rle" };
}
