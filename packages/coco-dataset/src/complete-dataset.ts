import type { CocoAnnotation, CocoDataset, CocoImage, CocoSegmentation } from "./document.js";
import { CocoError } from "./errors.js";
import { segmentationGeometry } from "./geometry.js";
import { area as rleArea } from "./mask/rle.js";
import { usableBbox, usableSegmentation } from "./presence.js";
import { segmentationToRle } from "./segmentation.js";

/** What completion filled in, per field and source. */
export interface CompletionReport {
  readonly bbox: { readonly fromPolygons: number; readonly fromRle: number };
  readonly area: { readonly fromPolygons: number; readonly fromRle: number; readonly fromBox: number };
  readonly iscrowd: number;
  readonly id: number;
  /** Annotations without a usable box and without a usable segmentation (keypoint or caption only ones not counted). */
  readonly missingGeometry: readonly number[];
  /** Annotations whose run lengths could not be read. */
  readonly unreadable: readonly number[];
}

/**
 * Fills in absent `bbox`, `area`, `iscrowd` and annotation `id`; never overwrites a usable value. What was filled is listed per annotation
 * in `seg_generated`, so that it does not count as annotated later. Applying it twice changes nothing.
 *
 * bbox: float min/max of the polygons, or the box of the run lengths. area: sum of |shoelace| of the parts, the pixel count of the run
 * lengths, or w * h of the box. id: from max + 1 in file order.
 *
 * @param options.areaMode - `mask`: areas of polygons are their pixel counts (3.6 px from the official ones in the median). @defaultValue "polygon"
 */
export function completeDataset(
  dataset: CocoDataset,
  { areaMode = "polygon" }: { areaMode?: "polygon" | "mask" } = {},
): { dataset: CocoDataset; report: CompletionReport } {
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  let nextId = 1;
  for (const { id } of dataset.annotations) if (Number.isInteger(id) && id >= nextId) nextId = id + 1;
  const bbox = { fromPolygons: 0, fromRle: 0 };
  const area = { fromPolygons: 0, fromRle: 0, fromBox: 0 };
  const counts = { iscrowd: 0, id: 0 };
  const missingGeometry: number[] = [];
  const unreadable: number[] = [];

  const annotations = dataset.annotations.map((annotation) => {
    const filled: { -readonly [K in "id" | "bbox" | "area" | "iscrowd"]?: CocoAnnotation[K] } = {};
    if (!Number.isInteger(annotation.id)) {
      filled.id = nextId++;
      counts.id++;
    }
    const id = filled.id ?? annotation.id;
    if (annotation.iscrowd === undefined || annotation.iscrowd === null) {
      filled.iscrowd = 0;
      counts.iscrowd++;
    }
    const box = usableBbox(annotation);
    const needsArea = !Number.isFinite(annotation.area);
    const segmentation = usableSegmentation(annotation);
    if (box === null && segmentation === null) {
      if (!annotation.keypoints && typeof annotation.caption !== "string") missingGeometry.push(id);
    } else if (box === null || needsArea) {
      const image = images.get(annotation.image_id);
      let geometry: ReturnType<typeof segmentationGeometry> | null = null;
      if (segmentation !== null && (image !== undefined || Array.isArray(segmentation))) {
        try {
          geometry = segmentationGeometry(segmentation, image?.height ?? 0, image?.width ?? 0);
        } catch (error) {
          if (!(error instanceof CocoError)) throw error;
          unreadable.push(id);
        }
      }
      if (geometry !== null) {
        const source = geometry.source === "rle" ? "fromRle" : "fromPolygons";
        if (box === null) {
          filled.bbox = geometry.bbox;
          bbox[source]++;
        }
        if (needsArea) {
          filled.area = areaMode === "mask" ? pixelCount(segmentation!, image, geometry.area) : geometry.area;
          area[source]++;
        }
      } else if (box !== null) {
        filled.area = box[2] * box[3];
        area.fromBox++;
      }
    }
    const names = Object.keys(filled);
    if (names.length === 0) return annotation;
    return { ...annotation, ...filled, seg_generated: [...new Set([...(annotation.seg_generated ?? []), ...names])] };
  });
  return { dataset: { ...dataset, annotations }, report: { bbox, area, ...counts, missingGeometry, unreadable } };
}

/** Pixels of a segmentation, or `fallback` where the image is unknown. */
function pixelCount(segmentation: CocoSegmentation, image: CocoImage | undefined, fallback: number): number {
  return image === undefined ? fallback : rleArea(segmentationToRle(segmentation, image.height, image.width));
}
