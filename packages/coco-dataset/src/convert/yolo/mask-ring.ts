import type { CocoSegmentation } from "../../document.js";
import { fromPolygons } from "../../mask/polygons.js";
import { area } from "../../mask/rle.js";
import { toPolygons } from "../../mask/to-polygons.js";
import { isPolygons } from "../../presence.js";
import type { Rle } from "../../types.js";
import { maskIou } from "../audit-masks.js";
import { joinRings } from "../join-rings.js";
import { toNormalised, toPixels } from "./label-rows.js";

/**
 * The one ring that stands for a mask in a YOLO row. Polygon parts inside the image keep their corners and are joined by bridges, when
 * the ring read back from its text fills the same pixels. Otherwise (parts that overlap or leave the image, corners on the edge of the
 * rasteriser's grid) and for run lengths the mask is traced along its pixels, whose whole-numbered corners always come back exactly.
 *
 * @param mask - the segmentation as run lengths of the image
 * @param simplify - largest distance in pixels by which a traced outline may move; 0 keeps every pixel
 * @returns flat `[x, y, ...]` within the image; null for a mask without pixels
 */
export function maskRing(segmentation: CocoSegmentation, mask: Rle, simplify = 0): number[] | null {
  if (area(mask) === 0) return null;
  const [height, width] = mask.size;
  if (isPolygons(segmentation) && segmentation.every((part) => isInside(part, width, height))) {
    const ring = joinRings(segmentation);
    const back = ring.map((value, index) => {
      const side = index % 2 === 0 ? width : height;
      return toPixels(toNormalised(value, side), side);
    });
    if (maskIou(fromPolygons([back], height, width), mask) === 1) return ring;
  }
  return joinRings(toPolygons(mask, { simplify }));
}

function isInside(ring: readonly number[], width: number, height: number): boolean {
  return ring.every((value, index) => value >= 0 && value <= (index % 2 === 0 ? width : height));
}
