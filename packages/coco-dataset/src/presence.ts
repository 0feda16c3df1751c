import type { CocoAnnotation, CocoRleCompressed, CocoRleUncompressed, CocoSegmentation } from "./document.js";
import type { BoxXywh } from "./types.js";

/** The four finite numbers of an annotation's box, or null where absent or unusable (null, `[]`, another length, not finite). */
export function usableBbox(annotation: Pick<CocoAnnotation, "bbox">): BoxXywh | null {
  const { bbox } = annotation;
  if (!Array.isArray(bbox) || bbox.length !== 4 || !bbox.every(Number.isFinite)) return null;
  return bbox as unknown as BoxXywh;
}

/** Whether a polygon part has an even count >= 6 of finite numbers. */
export function isUsablePart(part: unknown): part is readonly number[] {
  return Array.isArray(part) && part.length >= 6 && part.length % 2 === 0 && part.every(Number.isFinite);
}

/** Whether the value looks like run lengths: size of two integers and counts that are not empty. Sums are validated elsewhere. */
export function isRle(value: unknown): value is CocoRleUncompressed | CocoRleCompressed {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { size, counts } = value as { size?: unknown; counts?: unknown };
  if (!Array.isArray(size) || size.length !== 2 || !size.every(Number.isInteger)) return false;
  return typeof counts === "string" ? counts.length > 0 : Array.isArray(counts) && counts.length > 0;
}

/** The usable part of a segmentation: its sound polygon parts, its run lengths, or null where nothing usable is present. */
export function usableSegmentation(annotation: Pick<CocoAnnotation, "segmentation">): CocoSegmentation | null {
  const { segmentation } = annotation;
  if (Array.isArray(segmentation)) {
    const parts = segmentation.filter(isUsablePart);
    if (parts.length === 0) return null;
    return parts.length === segmentation.length ? segmentation : parts;
  }
  return isRle(segmentation) ? segmentation : null;
}

/** Whether a segmentation is polygons (else run lengths). */
export function isPolygons(segmentation: CocoSegmentation): segmentation is readonly (readonly number[])[] {
  return Array.isArray(segmentation);
}

/** Whether there is at least one labelled keypoint triple. */
export function hasUsableKeypoints(annotation: Pick<CocoAnnotation, "keypoints">): boolean {
  const { keypoints } = annotation;
  if (!Array.isArray(keypoints) || keypoints.length === 0 || keypoints.length % 3 !== 0) return false;
  for (let i = 2; i < keypoints.length; i += 3) if ((keypoints[i] as number) > 0) return true;
  return false;
}

/** Whether a field was filled in by completion and so does not count as annotated. */
export function isGenerated(annotation: CocoAnnotation, field: string): boolean {
  return Array.isArray(annotation.seg_generated) && annotation.seg_generated.includes(field);
}
