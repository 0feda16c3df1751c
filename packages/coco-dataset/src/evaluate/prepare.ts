import { completeDataset } from "../complete-dataset.js";
import type { CocoAnnotation, CocoDataset, CocoImage, CocoResult } from "../document.js";
import { CocoError, EvalInputError } from "../errors.js";
import { area as rleArea, toBbox } from "../mask/rle.js";
import { usableBbox, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import type { BoxXywh, Rle } from "../types.js";
import type { IouType } from "./params.js";

/** A ground truth object with everything that matching needs. */
export interface PreparedTruth {
  readonly id: number;
  readonly imageId: number;
  readonly categoryId: number;
  readonly area: number;
  readonly isCrowd: boolean;
  readonly isIgnored: boolean;
  readonly bbox: BoxXywh | null;
  readonly rle: Rle | null;
  readonly keypoints: readonly number[] | null;
}

/** A detection with everything that matching needs. */
export interface PreparedDetection {
  /** 0-based position in the results. */
  readonly row: number;
  readonly imageId: number;
  readonly categoryId: number;
  readonly score: number;
  readonly area: number;
  readonly bbox: BoxXywh | null;
  readonly rle: Rle | null;
  readonly keypoints: readonly number[] | null;
}

/** `pycocotools`: its quirks reproduced; `strict`: explicit `ignore` honoured, mask areas for rows with box and mask. */
export type EvalCompat = "pycocotools" | "strict";

interface Context {
  readonly iouType: IouType;
  readonly compat: EvalCompat;
  readonly images: ReadonlyMap<number, CocoImage>;
  readonly numKeypoints: number;
}

/** Ground truth in file order. Absent box and area are completed; a missing geometry is an error that lists the annotations. */
export function prepareTruths(groundTruth: CocoDataset, context: Context): PreparedTruth[] {
  const bad: number[] = [];
  const { dataset } = completeDataset(groundTruth);
  const result: PreparedTruth[] = [];
  for (const annotation of dataset.annotations) {
    const image = context.images.get(annotation.image_id);
    // Orphans take no part, as in pycocotools, which never asks for their image.
    if (image === undefined) continue;
    const truth = prepareTruth(annotation, image, context);
    if (truth === null) bad.push(annotation.id);
    else result.push(truth);
  }
  if (bad.length > 0) {
    throw new EvalInputError({
      subject: "ground-truth",
      ids: bad,
      message: `${bad.length} ground truth annotations have no usable ${context.iouType} geometry: ${bad.slice(0, 5).join(", ")}. Evaluate another iouType, or filter them out first; boxes are never taken as masks.`,
    });
  }
  return result;
}

function prepareTruth(annotation: CocoAnnotation, image: CocoImage, context: Context): PreparedTruth | null {
  const { iouType, compat } = context;
  const bbox = usableBbox(annotation);
  const keypoints = annotation.keypoints ?? null;
  let rle: Rle | null = null;
  if (iouType === "segm") {
    const segmentation = usableSegmentation(annotation);
    if (segmentation === null) return null;
    rle = segmentationToRle(segmentation, image.height, image.width, { annotationId: annotation.id });
  } else if (bbox === null) return null;
  if (iouType === "keypoints" && keypoints?.length !== 3 * context.numKeypoints) return null;
  const isCrowd = annotation.iscrowd === 1;
  const isExplicit = compat === "strict" && Boolean(annotation["ignore"]);
  return {
    id: annotation.id,
    imageId: annotation.image_id,
    categoryId: annotation.category_id,
    area: annotation.area ?? 0,
    isCrowd,
    isIgnored: isCrowd || isExplicit || (iouType === "keypoints" && labelledKeypoints(annotation) === 0),
    bbox,
    rle,
    keypoints,
  };
}

function labelledKeypoints(annotation: CocoAnnotation): number {
  if (typeof annotation.num_keypoints === "number") return annotation.num_keypoints;
  return (annotation.keypoints ?? []).filter((value, i) => i % 3 === 2 && value > 0).length;
}

/**
 * Detections in file order; a box is derived from a mask, a mask from a box (its rectangle) as pycocotools' loadRes does.
 * @throws EvalInputError naming the rows
 */
export function prepareDetections(
  detections: readonly CocoResult[],
  context: Context & { categories: ReadonlySet<number> },
): PreparedDetection[] {
  const fail = (rows: number[], what: string) => {
    if (rows.length === 0) return;
    throw new EvalInputError({
      subject: "detections",
      ids: rows,
      message: `${rows.length} detections ${what}: rows ${rows.slice(0, 5).join(", ")}${rows.length > 5 ? ", ..." : ""} (from 0).`,
    });
  };
  const rowsWhere = (test: (row: CocoResult) => boolean) => detections.flatMap((row, i) => (test(row) ? [i] : []));
  fail(
    rowsWhere((row) => !context.images.has(row.image_id)),
    "name an image that the ground truth does not have",
  );
  fail(
    rowsWhere((row) => !context.categories.has(row.category_id)),
    "name a category that the ground truth does not have",
  );
  fail(
    rowsWhere((row) => !Number.isFinite(row.score)),
    "have a score that is not a finite number",
  );
  const first = detections[0];
  if (first === undefined) return [];
  const shape = rowShape(first);
  fail(
    rowsWhere((row) => rowShape(row) !== shape),
    `do not hold the same fields as row 0 (${shape || "no geometry"})`,
  );
  const needed = context.iouType === "keypoints" ? "keypoints" : "bbox or segmentation";
  const isFit = context.iouType === "keypoints" ? shape.includes("keypoints") : /bbox|segmentation/.test(shape);
  if (!isFit) fail([0], `have no ${needed}, which iouType ${context.iouType} compares`);
  return detections.map((row, index) => {
    const image = context.images.get(row.image_id)!;
    try {
      return prepareDetection(row, index, image, context);
    } catch (error) {
      if (!(error instanceof CocoError)) throw error;
      throw new EvalInputError({
        subject: "detections",
        ids: [index],
        message: `Detection row ${index}: ${error.message}`,
      });
    }
  });
}

function rowShape(row: CocoResult): string {
  const names: string[] = [];
  if (usableBbox(row) !== null) names.push("bbox");
  if (usableSegmentation(row) !== null) names.push("segmentation");
  if (Array.isArray(row.keypoints)) names.push("keypoints");
  return names.join("+");
}

function prepareDetection(row: CocoResult, index: number, image: CocoImage, context: Context): PreparedDetection {
  const { iouType, compat } = context;
  let bbox = usableBbox(row);
  const segmentation = usableSegmentation(row);
  const keypoints = row.keypoints ?? null;
  const needsRle = iouType === "segm" || (bbox === null && segmentation !== null);
  let rle: Rle | null = null;
  if (needsRle) {
    rle = segmentationToRle(segmentation ?? [rectangle(bbox!)], image.height, image.width);
  }
  let area: number;
  if (bbox !== null && !(compat === "strict" && iouType === "segm" && segmentation !== null)) area = bbox[2] * bbox[3];
  else if (rle !== null) area = rleArea(rle);
  else area = 0;
  if (bbox === null && rle !== null) bbox = toBbox(rle);
  if (keypoints !== null && iouType === "keypoints") {
    if (keypoints.length !== 3 * context.numKeypoints || !keypoints.every(Number.isFinite)) {
      throw new EvalInputError({
        subject: "detections",
        ids: [index],
        message: `keypoints has ${keypoints.length} numbers, expected ${3 * context.numKeypoints} finite ones.`,
      });
    }
    if (bbox === null) {
      bbox = keypointBox(keypoints);
      area = bbox[2] * bbox[3];
    }
  }
  return {
    row: index,
    imageId: row.image_id,
    categoryId: row.category_id,
    score: row.score,
    area,
    bbox,
    rle,
    keypoints,
  };
}

function rectangle([x, y, width, height]: BoxXywh): number[] {
  return [x, y, x, y + height, x + width, y + height, x + width, y];
}

function keypointBox(keypoints: readonly number[]): BoxXywh {
  const xs = keypoints.filter((_, i) => i % 3 === 0);
  const ys = keypoints.filter((_, i) => i % 3 === 1);
  const left = Math.min(...xs);
  const top = Math.min(...ys);
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}
