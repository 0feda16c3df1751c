import type { CocoSegmentation } from "../document.js";
import { toCompressed } from "../mask/compressed.js";
import { bboxIou } from "../mask/iou.js";
import { encode, toBbox } from "../mask/rle.js";
import type { IndexImage } from "./read-index-png.js";

/** Folders of mask pictures in a VOC dataset: which object, and which class, a pixel belongs to. */
export const OBJECT_MASKS = "SegmentationObject";
export const CLASS_MASKS = "SegmentationClass";

/** Overlap of a mask's bounds with the object's box below which they cannot be one object: the void outline alone keeps them above 0.7. */
const LEAST_OVERLAP = 0.5;

/** Whether a path lies in a folder of masks, so that it is no photograph. */
export const isVocMask = (path: string): boolean =>
  path.split("/").some((part) => part === OBJECT_MASKS || part === CLASS_MASKS);

/**
 * The mask of every object: pixels of value k belong to the k-th object of the file (1-based), 0 is background, 255 the outline, which belongs to
 * nobody.
 *
 * @param boxes - xywh pixels, in the order of the file
 * @returns null for an object without pixels, "elsewhere" where the pixels of its number lie outside of its box
 */
export function vocMasks(
  { width, height, data }: IndexImage,
  boxes: readonly (readonly number[])[],
): (CocoSegmentation | "elsewhere" | null)[] {
  return boxes.map((box, index) => {
    const value = index + 1;
    const own = data.map((pixel) => (pixel === value ? 1 : 0));
    if (!own.includes(1)) return null;
    const rle = encode(own, height, width);
    const [overlap] = bboxIou([toBbox(rle)], [box]);
    return overlap! < LEAST_OVERLAP ? "elsewhere" : { size: [height, width], counts: toCompressed(rle) };
  });
}
