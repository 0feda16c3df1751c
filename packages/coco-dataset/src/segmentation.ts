import type { CocoAnnotation, CocoSegmentation } from "./document.js";
import { nameAnnotation } from "./errors.js";
import { appendSegmentation } from "./mask/append-segmentation.js";
import { RunBuffer } from "./mask/run-buffer.js";
import { toPolygons } from "./mask/to-polygons.js";
import { isPolygons, isUsablePart, usableSegmentation } from "./presence.js";
import type { Rle } from "./types.js";

/**
 * Any COCO segmentation as run lengths of the image's size: polygons are rasterised and unioned, compressed counts are read.
 *
 * @param options.annotationId - named in errors
 * @throws RleError when the size is not `[height, width]` or the runs do not sum to height * width
 * @throws PolygonError on a broken part
 */
export function segmentationToRle(
  segmentation: CocoSegmentation,
  height: number,
  width: number,
  { annotationId = null }: { annotationId?: number | null } = {},
): Rle {
  try {
    const buffer = new RunBuffer();
    appendSegmentation(buffer, segmentation, height, width);
    return { size: [height, width], counts: buffer.data.slice(0, buffer.length) };
  } catch (error) {
    throw annotationId === null ? error : nameAnnotation(error, annotationId);
  }
}

/**
 * Polygon parts of an annotation in image pixels, corner convention. Polygons come back as they are (unusable parts left out); run
 * lengths through the lossless {@link mask.toPolygons}, so rasterising the result restores the mask.
 *
 * @returns flat `[x, y, ...]` per part; empty where the annotation has no usable segmentation
 * @throws RleError on run lengths of another size or length
 */
export function annotationPolygons(annotation: CocoAnnotation, height: number, width: number): Float64Array[] {
  const segmentation = usableSegmentation(annotation);
  if (segmentation === null) return [];
  if (isPolygons(segmentation)) return segmentation.filter(isUsablePart).map((part) => Float64Array.from(part));
  return toPolygons(segmentationToRle(segmentation, height, width, { annotationId: annotation.id }));
}
