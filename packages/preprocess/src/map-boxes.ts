import type { Box } from "@seg/coco-dataset";
import { type Geometry, isEmptyBox, mapBoxToImage, mapBoxToModel } from "./geometry.js";

/** A box after mapping; it is never removed. */
export interface MappedBox {
  readonly box: Box;
  /** True when clipping left no area. */
  readonly outside: boolean;
}

/** Image -> model input, xyxy pixels. `clip` (default true) first limits each box to the image. */
export function mapBoxesToModel(
  boxes: readonly Box[],
  geometry: Geometry,
  { clip = true }: { clip?: boolean } = {},
): MappedBox[] {
  return boxes.map((given) => {
    const box = mapBoxToModel(given, geometry, { clip });
    return { box, outside: isEmptyBox(box) };
  });
}

/** Model input -> image, xyxy pixels. `clip` (default true) limits each box to the image. */
export function mapBoxesToImage(
  boxes: readonly Box[],
  geometry: Geometry,
  { clip = true }: { clip?: boolean } = {},
): MappedBox[] {
  return boxes.map((given) => {
    const box = mapBoxToImage(given, geometry, { clip });
    return { box, outside: isEmptyBox(box) };
  });
}

/**
 * Boxes of one model's input -> another model's input, through the picture both were prepared from: a Grounding DINO box becomes a SAM prompt.
 * A box without area on the picture is `outside`.
 */
export function transferBoxes(boxes: readonly Box[], from: Geometry, to: Geometry): MappedBox[] {
  return mapBoxesToModel(
    mapBoxesToImage(boxes, from).map(({ box }) => box),
    to,
  );
}
