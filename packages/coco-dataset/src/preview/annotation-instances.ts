import { xywhToXyxy } from "../boxes.js";
import type { CocoAnnotation, CocoDataset, CocoImage } from "../document.js";
import { CocoError } from "../errors.js";
import { annotationsOf } from "../instances.js";
import { toBbox } from "../mask/rle.js";
import { usableBbox, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import type { BoxXywh, ClassMapping, Rle } from "../types.js";
import type { OverlayInstance } from "./render-overlay.js";

/** Side of the marker of a box without area, as a share of the image's longer side. */
const MARKER = 0.05;

/**
 * Annotations of an image as things to draw, crowds too. An annotation whose geometry cannot be drawn is counted, not guessed; a box
 * without area gets a marker where it is asked for by id.
 *
 * @param input.only - ids of the annotations to draw; all when absent
 * @param input.colors - colour index by category id; the class index when absent
 */
export function annotationInstances({
  dataset,
  image,
  mapping,
  only,
  colors,
}: {
  dataset: CocoDataset;
  image: CocoImage;
  mapping: ClassMapping;
  only?: ReadonlySet<number> | undefined;
  colors?: ReadonlyMap<number, number> | undefined;
}): { instances: OverlayInstance[]; numUndrawable: number } {
  const classes = new Map(mapping.classes.map((entry) => [entry.categoryId, entry]));
  const instances: OverlayInstance[] = [];
  let numUndrawable = 0;
  for (const annotation of annotationsOf(dataset, image.id)) {
    if (only !== undefined && !only.has(annotation.id)) continue;
    const entry = classes.get(annotation.category_id);
    const mask = maskOf(annotation, image);
    const bbox = usableBbox(annotation) ?? (mask === null ? null : toBbox(mask));
    const isFlat = bbox !== null && !(bbox[2] > 0 && bbox[3] > 0);
    if (bbox === null || (isFlat && only === undefined)) {
      numUndrawable++;
      continue;
    }
    const isCrowd = annotation.iscrowd === 1;
    const name = entry?.name ?? `category ${annotation.category_id}?`;
    instances.push({
      classId: colors?.get(annotation.category_id) ?? entry?.index ?? 0,
      name: `${name}${isCrowd ? " (crowd)" : ""}${isFlat ? " (no area)" : ""}`,
      box: xywhToXyxy(isFlat ? markerOf(bbox, image) : bbox),
      isDashed: isCrowd || isFlat,
      ...(mask === null ? {} : { mask }),
    });
  }
  return { instances, numUndrawable };
}

function maskOf(annotation: CocoAnnotation, { width, height }: CocoImage): Rle | null {
  const segmentation = usableSegmentation(annotation);
  if (segmentation === null) return null;
  try {
    return segmentationToRle(segmentation, height, width, { annotationId: annotation.id });
  } catch (error) {
    if (!(error instanceof CocoError)) throw error;
    return null;
  }
}

/** A square around the centre of a box without area. */
function markerOf([x, y, w, h]: BoxXywh, { width, height }: CocoImage): BoxXywh {
  const side = MARKER * Math.max(width, height);
  return [x + w / 2 - side / 2, y + h / 2 - side / 2, side, side];
}
