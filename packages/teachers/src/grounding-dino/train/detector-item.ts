import type { Instance, RgbImage } from "@seg/coco-dataset";

/** An image with its annotated objects. */
export interface DetectorItem {
  readonly image: RgbImage;
  /** Boxes in pixels of `image`; those below one square pixel are left out and counted. */
  readonly instances: readonly Instance[];
}

/** Whether an object's box can be trained on: finite, not inverted, at least one square pixel. */
export function isTrainable({ box: [x1, y1, x2, y2] }: Instance): boolean {
  return x2 > x1 && y2 > y1 && (x2 - x1) * (y2 - y1) >= 1;
}
