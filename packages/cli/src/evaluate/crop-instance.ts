import { type Box, mask } from "@seg/coco-dataset";
import type { OverlayInstance } from "@seg/coco-dataset/preview";

/**
 * An object in the pixels of a region cut out of its image; null where none of its box lies in the region.
 *
 * @param region - xyxy whole pixels inside the image, half-open
 */
export function cropInstance(
  { box, mask: rle, ...rest }: OverlayInstance,
  [left, top, right, bottom]: Box,
): OverlayInstance | null {
  const [x1, y1, x2, y2] = [
    Math.max(box[0], left),
    Math.max(box[1], top),
    Math.min(box[2], right),
    Math.min(box[3], bottom),
  ];
  if (x1 >= x2 || y1 >= y2) return null;
  const moved = { ...rest, box: [x1 - left, y1 - top, x2 - left, y2 - top] as const };
  if (rle === undefined) return moved;
  const [, columns] = rle.size;
  const bitmap = mask.decode(rle);
  const [height, width] = [bottom - top, right - left];
  const cut = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * columns + left;
    cut.set(bitmap.subarray(start, start + width), y * width);
  }
  return { ...moved, mask: mask.encode(cut, height, width) };
}
