import {
  annotationPolygons,
  type CocoAnnotation,
  type CocoSegmentation,
  mask,
  segmentationToRle,
  xywhToXyxy,
  xyxyToXywh,
} from "@seg/coco-dataset";
import { type Geometry, isEmptyBox, mapBoxToModel, mapPointsToModel } from "./geometry.js";
import { mapMaskToModel } from "./map-mask.js";

/** An annotation in the space of a network input; other fields, `iscrowd` among them, are kept. */
export type MappedAnnotation = CocoAnnotation & {
  /** Set when no area of the box is left on the image. */
  readonly outside?: true;
};

/** Options of {@link mapAnnotations}. */
export interface MapAnnotationsOptions {
  /** Run lengths become run lengths by nearest neighbour, or their outline is mapped. @defaultValue "nearest" */
  readonly maskTarget?: "nearest" | "polygon";
  /** Limits boxes to the image. @defaultValue true */
  readonly clip?: boolean;
}

function mapSegmentation(
  annotation: CocoAnnotation,
  segmentation: CocoSegmentation,
  geometry: Geometry,
  maskTarget: "nearest" | "polygon",
): CocoSegmentation {
  const { origW, origH, netW, netH } = geometry;
  if (Array.isArray(segmentation)) {
    return (segmentation as readonly (readonly number[])[]).map((part) => [...mapPointsToModel(part, geometry)]);
  }
  if (maskTarget === "polygon") {
    return annotationPolygons(annotation, origH, origW).map((part) => [...mapPointsToModel(part, geometry)]);
  }
  const rle = segmentationToRle(segmentation, origH, origW, { annotationId: annotation.id });
  const encoded = mask.encode(mapMaskToModel(mask.decode(rle), geometry), netH, netW);
  const size = [netH, netW] as const;
  const { counts } = segmentation as { counts: unknown };
  return typeof counts === "string"
    ? { size, counts: mask.toString(encoded) }
    : { size, counts: Array.from(encoded.counts) };
}

/**
 * COCO annotations of an image -> network space: boxes (clipped), polygons, run lengths and keypoints (visibility kept; unlabelled ones,
 * v = 0, stay 0, 0); `area` is scaled by scaleX * scaleY. A box without area left is marked `outside`, never removed; crowds pass with
 * their flag.
 *
 * @throws RleError, PolygonError of @seg/coco-dataset on broken segmentations
 */
export function mapAnnotations(
  annotations: readonly CocoAnnotation[],
  geometry: Geometry,
  { maskTarget = "nearest", clip = true }: MapAnnotationsOptions = {},
): MappedAnnotation[] {
  const { scaleX, scaleY } = geometry;
  return annotations.map((annotation) => {
    const { bbox, segmentation, keypoints, area } = annotation;
    const mapped: Record<string, unknown> = { ...annotation };
    if (bbox != null) {
      const box = mapBoxToModel(xywhToXyxy(bbox as unknown as [number, number, number, number]), geometry, { clip });
      mapped["bbox"] = [...xyxyToXywh(box)];
      if (isEmptyBox(box)) mapped["outside"] = true;
    }
    if (area != null) mapped["area"] = area * scaleX * scaleY;
    if (segmentation != null) mapped["segmentation"] = mapSegmentation(annotation, segmentation, geometry, maskTarget);
    if (keypoints != null) {
      mapped["keypoints"] = keypoints.map((value, i) => {
        if (i % 3 === 2 || keypoints[i - (i % 3) + 2] === 0) return value;
        return i % 3 === 0 ? value * scaleX + geometry.padL : value * scaleY + geometry.padT;
      });
    }
    return mapped as MappedAnnotation;
  });
}
