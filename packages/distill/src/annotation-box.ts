import { annotationPolygons, type Box, type CocoAnnotation, type CocoImage, xywhToXyxy } from "@seg/coco-dataset";

/** The box of an annotation clipped to its image, or the tight box of its polygons; null where it has no area. */
export function annotationBox(annotation: CocoAnnotation, image: Pick<CocoImage, "width" | "height">): Box | null {
  const { bbox } = annotation;
  let corners: readonly number[];
  if (Array.isArray(bbox) && bbox.length === 4 && bbox.every(Number.isFinite)) {
    corners = xywhToXyxy(bbox as unknown as readonly [number, number, number, number]);
  } else {
    const tight = [
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ];
    for (const polygon of annotationPolygons(annotation, image.height, image.width)) {
      for (let i = 0; i + 1 < polygon.length; i += 2) {
        tight[0] = Math.min(tight[0]!, polygon[i]!);
        tight[1] = Math.min(tight[1]!, polygon[i + 1]!);
        tight[2] = Math.max(tight[2]!, polygon[i]!);
        tight[3] = Math.max(tight[3]!, polygon[i + 1]!);
      }
    }
    corners = tight;
  }
  const box: Box = [
    Math.max(0, corners[0]!),
    Math.max(0, corners[1]!),
    Math.min(image.width, corners[2]!),
    Math.min(image.height, corners[3]!),
  ];
  return box[2] > box[0] && box[3] > box[1] ? box : null;
}
