import type { CocoAnnotation, CocoSegmentation } from "./document.js";
import { PolygonError, RleError } from "./errors.js";
import { fromString } from "./mask/compressed.js";
import { fromPolygons } from "./mask/polygons.js";
import { fromUncompressed, lengthError, runTotal } from "./mask/rle.js";
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
    if (isPolygons(segmentation)) return fromPolygons(segmentation, height, width);
    const [rows, columns] = segmentation.size;
    if (rows !== height || columns !== width) {
      const isSwapped = rows === width && columns === height;
      throw new RleError({
        reason: "size",
        message: `segmentation.size is [${rows}, ${columns}], the image is [height, width] = [${height}, ${width}]${
          isSwapped ? "; width and height are swapped" : ""
        }. Write size as [height, width] of the image.`,
      });
    }
    const rle =
      typeof segmentation.counts === "string"
        ? fromString(segmentation.counts, height, width)
        : fromUncompressed(segmentation.counts, height, width);
    const total = runTotal(rle);
    if (total !== height * width) throw lengthError(total, height, width);
    return rle;
  } catch (error) {
    if (annotationId === null) throw error;
    if (error instanceof RleError && error.annotationId === null) {
      throw new RleError({ message: error.message, reason: error.reason, annotationId });
    }
    if (error instanceof PolygonError && error.annotationId === null) {
      throw new PolygonError({ message: error.message, annotationId });
    }
    throw error;
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
