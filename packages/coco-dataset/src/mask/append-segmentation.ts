import type { CocoSegmentation } from "../document.js";
import { RleError } from "../errors.js";
import { isPolygons } from "../presence.js";
import { appendCompressed } from "./compressed.js";
import { appendPolygons } from "./polygons.js";
import { appendUncompressed, checkSize, lengthError } from "./rle.js";
import type { RunBuffer } from "./run-buffer.js";
import { totalOfRuns } from "./runs.js";

/**
 * Appends the runs of any COCO segmentation; polygons are rasterised and unioned.
 * @throws RleError when the size is not `[height, width]` or the runs do not sum to height * width
 * @throws PolygonError on a broken part
 */
export function appendSegmentation(
  buffer: RunBuffer,
  segmentation: CocoSegmentation,
  height: number,
  width: number,
): void {
  checkSize(height, width);
  if (isPolygons(segmentation)) {
    appendPolygons(buffer, segmentation, height, width);
    return;
  }
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
  const start = buffer.length;
  if (typeof segmentation.counts === "string") appendCompressed(buffer, segmentation.counts);
  else appendUncompressed(buffer, segmentation.counts);
  const total = totalOfRuns(buffer.data, start, buffer.length);
  if (total !== height * width) throw lengthError(total, height, width);
}
