import { bboxIou, iou } from "../mask/iou.js";
import { objectKeypointSimilarity } from "./oks.js";
import type { IouType, ResolvedEvalParams } from "./params.js";
import type { PreparedDetection, PreparedTruth } from "./prepare.js";

/** Ground truth and detections of one image and category; detections by falling score, cut to the largest maxDetections. */
export interface EvalCell {
  readonly imageId: number;
  /** -1 when matching is class-agnostic. */
  readonly categoryId: number;
  readonly truths: readonly PreparedTruth[];
  readonly detections: readonly PreparedDetection[];
  /** detections x truths. */
  readonly ious: Float64Array;
}

/** Cells that hold anything, per category in the order of `params.categoryIds` (one entry when class-agnostic), images ascending. */
export function buildCells(input: {
  truths: readonly PreparedTruth[];
  detections: readonly PreparedDetection[];
  params: ResolvedEvalParams;
  iouType: IouType;
}): { cells: EvalCell[][]; dropped: number } {
  const { params, iouType } = input;
  const imageRank = new Map(params.imageIds.map((id, i) => [id, i]));
  const categoryRank = new Map(params.categoryIds.map((id, i) => [id, i]));
  const numCells = params.useCategories ? params.categoryIds.length : 1;
  const limit = params.maxDetections.at(-1)!;

  const group = <T extends { imageId: number; categoryId: number }>(items: readonly T[]) => {
    const groups = new Map<number, T[]>();
    // Class-agnostic lists run over categories first, then file order: ties in score keep that order.
    const ordered = params.useCategories
      ? items
      : items.toSorted((a, b) => (categoryRank.get(a.categoryId) ?? 0) - (categoryRank.get(b.categoryId) ?? 0));
    for (const item of ordered) {
      const image = imageRank.get(item.imageId);
      const category = categoryRank.get(item.categoryId);
      if (image === undefined || category === undefined) continue;
      const key = image * numCells + (params.useCategories ? category : 0);
      const list = groups.get(key);
      if (list === undefined) groups.set(key, [item]);
      else list.push(item);
    }
    return groups;
  };
  const truthGroups = group(input.truths);
  const detectionGroups = group(input.detections);
  const keys = [...new Set([...truthGroups.keys(), ...detectionGroups.keys()])].sort((a, b) => a - b);
  const cells: EvalCell[][] = Array.from({ length: numCells }, () => []);
  let dropped = 0;
  for (const key of keys) {
    const truths = truthGroups.get(key) ?? [];
    const sorted = (detectionGroups.get(key) ?? []).toSorted((a, b) => b.score - a.score);
    const detections = sorted.slice(0, limit);
    dropped += sorted.length - detections.length;
    const category = key % numCells;
    cells[category]!.push({
      imageId: params.imageIds[(key - category) / numCells]!,
      categoryId: params.useCategories ? params.categoryIds[category]! : -1,
      truths,
      detections,
      ious: similarity(truths, detections, iouType, params),
    });
  }
  return { cells, dropped };
}

function similarity(
  truths: readonly PreparedTruth[],
  detections: readonly PreparedDetection[],
  iouType: IouType,
  params: ResolvedEvalParams,
): Float64Array {
  const result = new Float64Array(truths.length * detections.length);
  if (result.length === 0) return result;
  const crowd = truths.map((truth) => truth.isCrowd);
  if (iouType === "bbox") {
    return bboxIou(
      detections.map((d) => d.bbox!),
      truths.map((t) => t.bbox!),
      crowd,
    );
  }
  if (iouType === "segm") {
    return iou(
      detections.map((d) => d.rle!),
      truths.map((t) => t.rle!),
      crowd,
    );
  }
  detections.forEach((detection, d) => {
    truths.forEach((truth, g) => {
      result[d * truths.length + g] = objectKeypointSimilarity({
        truth: truth.keypoints!,
        detection: detection.keypoints!,
        bbox: truth.bbox!,
        area: truth.area,
        sigmas: params.keypointSigmas,
      });
    });
  });
  return result;
}
