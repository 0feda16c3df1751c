import { mask } from "@seg/coco-dataset";
import type { SamItem } from "../sam/evaluate.js";
import type { Scene } from "./shape-world.js";

/** A scene as annotated data: class = position of the object's kind in `classes` (0 if it is not listed). */
export function sceneItem({ image, instances }: Scene, classes: readonly string[] = []): SamItem {
  return {
    image,
    instances: instances.map(({ kind, mask: pixels, box }) => ({
      classId: Math.max(classes.indexOf(kind), 0),
      box,
      mask: mask.encode(pixels, image.height, image.width),
    })),
  };
}
