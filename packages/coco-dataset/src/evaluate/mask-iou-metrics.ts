import type { CocoDataset, CocoResult } from "../document.js";
import { EvalInputError } from "../errors.js";
import { boundaryBand } from "../mask/boundary-band.js";
import { iou } from "../mask/iou.js";
import { fromPolygons } from "../mask/polygons.js";
import { area, merge } from "../mask/rle.js";
import { usableBbox, usableSegmentation } from "../presence.js";
import { annotationPolygons, segmentationToRle } from "../segmentation.js";
import type { Rle } from "../types.js";
import { evaluate } from "./evaluate.js";

/** Mask quality numbers that COCO's summary does not hold; -1 where there is no ground truth (or no match). */
export interface MaskIouMetrics {
  /** Mean over non-crowd ground truths of the best IoU among same-class detections above the score threshold, 0 where missed. */
  readonly meanMaskIoU: number;
  /** Mean IoU of the true positives of COCO matching at IoU 0.5 (all scores). */
  readonly matchedMaskIoU: number;
  /** Per class IoU of the unions of instances over all images (detections above the score threshold), averaged over classes with ground truth. */
  readonly semanticMIoU: number;
  /**
   * As meanMaskIoU, of min(mask IoU, IoU of the boundary bands): pixels within 2 % of the image diagonal of the mask's edge (Cheng et al.,
   * "Boundary IoU", 2021).
   */
  readonly boundaryIoU: number;
  readonly numGroundTruths: number;
  readonly numMatched: number;
  /** Longest side in pixels at which masks were compared, null at the original size. */
  readonly resolution: number | null;
}

interface Mask {
  readonly id: number;
  readonly imageId: number;
  readonly categoryId: number;
  readonly score: number;
  readonly rle: Rle;
}

/**
 * Mask IoU at the original image resolution.
 *
 * @param input.scoreThreshold - detections below it enter matchedMaskIoU only. @defaultValue 0.25
 * @param input.resolution - longest side in pixels to which polygons are scaled before they are rasterised. @defaultValue the original
 * @throws EvalInputError as {@link evaluate}
 */
export function maskIoUMetrics({
  groundTruth,
  detections,
  scoreThreshold = 0.25,
  resolution = null,
}: {
  groundTruth: CocoDataset;
  detections: readonly CocoResult[];
  scoreThreshold?: number;
  resolution?: number | null;
}): MaskIouMetrics {
  if (resolution !== null && !(Number.isInteger(resolution) && resolution > 0)) {
    throw new EvalInputError({ subject: "params", message: `resolution is ${resolution}, expected whole pixels > 0.` });
  }
  // Checks ids, scores, fields and masks of everything that is read below.
  const { matches = [] } = evaluate({
    groundTruth,
    detections,
    iouType: "segm",
    matches: true,
    params: { iouThresholds: [0.5] },
  });
  const images = new Map(groundTruth.images.map((image) => [image.id, image]));
  const categories = new Set(groundTruth.categories.map((category) => category.id));
  const read = (item: Parameters<typeof annotationPolygons>[0]): Rle => {
    const { height, width } = images.get(item.image_id)!;
    if (resolution === null)
      return segmentationToRle(usableSegmentation(item)!, height, width, { annotationId: item.id });
    const scale = resolution / Math.max(height, width);
    const parts = annotationPolygons(item, height, width).map((part) => part.map((value) => value * scale));
    return fromPolygons(parts, Math.round(height * scale), Math.round(width * scale));
  };
  const truths: Mask[] = groundTruth.annotations
    .filter((item) => item.iscrowd !== 1 && images.has(item.image_id) && categories.has(item.category_id))
    .map((item) => ({ id: item.id, imageId: item.image_id, categoryId: item.category_id, score: 1, rle: read(item) }));
  const predictions: Mask[] = detections.map((row, id) => {
    const segmentation = usableSegmentation(row) ?? rectangle(usableBbox(row)!);
    const rle = read({ id, image_id: row.image_id, category_id: row.category_id, segmentation });
    return { id, imageId: row.image_id, categoryId: row.category_id, score: row.score, rle };
  });
  const confident = predictions.filter(({ score }) => score >= scoreThreshold);
  const byCell = groupBy(confident, cellKey);
  let bestIou = 0;
  let bestBoundary = 0;
  for (const truth of truths) {
    const candidates = byCell.get(cellKey(truth)) ?? [];
    const values = iou(
      candidates.map(({ rle }) => rle),
      [truth.rle],
    );
    let best = 0;
    let boundary = 0;
    candidates.forEach(({ rle }, i) => {
      const value = values[i]!;
      best = Math.max(best, value);
      if (value > boundary) boundary = Math.max(boundary, Math.min(value, boundaryIou(rle, truth.rle)));
    });
    bestIou += best;
    bestBoundary += boundary;
  }
  const matched = matchedIous(matches, new Map(truths.map((truth) => [truth.id, truth])), predictions);
  const mean = (sum: number) => (truths.length === 0 ? -1 : sum / truths.length);
  return {
    meanMaskIoU: mean(bestIou),
    matchedMaskIoU: matched.length === 0 ? -1 : matched.reduce((sum, value) => sum + value, 0) / matched.length,
    semanticMIoU: semanticMIoU(truths, byCell),
    boundaryIoU: mean(bestBoundary),
    numGroundTruths: truths.length,
    numMatched: matched.length,
    resolution,
  };
}

const cellKey = ({ imageId, categoryId }: Mask) => `${imageId}/${categoryId}`;

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const list = groups.get(keyOf(item));
    if (list === undefined) groups.set(keyOf(item), [item]);
    else list.push(item);
  }
  return groups;
}

function rectangle([x, y, w, h]: readonly [number, number, number, number]): number[][] {
  return [[x, y, x, y + h, x + w, y + h, x + w, y]];
}

function boundaryIou(a: Rle, b: Rle): number {
  return iou([boundaryBand(a)], [boundaryBand(b)])[0]!;
}

function matchedIous(
  matches: NonNullable<ReturnType<typeof evaluate>["matches"]>,
  truths: ReadonlyMap<number, Mask>,
  predictions: readonly Mask[],
): number[] {
  return matches.flatMap((cell) =>
    cell.detectionMatches[0]!.flatMap((g, d) => {
      const truth = g < 0 || cell.detectionIgnored[0]![d] ? undefined : truths.get(cell.groundTruthIds[g]!);
      return truth === undefined ? [] : [iou([predictions[cell.detectionRows[d]!]!.rle], [truth.rle])[0]!];
    }),
  );
}

function semanticMIoU(truths: readonly Mask[], predictions: ReadonlyMap<string, readonly Mask[]>): number {
  const truthCells = groupBy(truths, cellKey);
  const sums = new Map<number, { intersection: number; union: number }>();
  for (const { categoryId } of truths) sums.set(categoryId, { intersection: 0, union: 0 });
  for (const key of new Set([...truthCells.keys(), ...predictions.keys()])) {
    const truth = truthCells.get(key) ?? [];
    const found = predictions.get(key) ?? [];
    const sum = sums.get((truth[0] ?? found[0])!.categoryId);
    if (sum === undefined) continue;
    const [a, b] = [truth, found].map((list) => (list.length === 0 ? null : merge(list.map(({ rle }) => rle))));
    const common = a && b ? area(merge([a, b], { intersect: true })) : 0;
    sum.intersection += common;
    sum.union += (a ? area(a) : 0) + (b ? area(b) : 0) - common;
  }
  if (sums.size === 0) return -1;
  let total = 0;
  for (const { intersection, union } of sums.values()) total += union === 0 ? 0 : intersection / union;
  return total / sums.size;
}
