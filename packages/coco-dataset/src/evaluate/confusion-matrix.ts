import type { CocoDataset, CocoResult } from "../document.js";
import { type ImageCell, type ImageCells, imageCells } from "./image-cells.js";
import type { IouType } from "./params.js";

/** Which class was predicted where which class was annotated, at one operating point. */
export interface ConfusionMatrix {
  /** Class names in the order of rows and columns; the last row and column is the background. */
  readonly names: readonly string[];
  /**
   * `counts[predicted][annotated]`; background row: missed objects, background column: detections of nothing. K + 1 by K + 1.
   */
  readonly counts: readonly (readonly number[])[];
  readonly scoreThreshold: number;
  readonly iouThreshold: number;
}

/**
 * Confusion matrix: detections with score >= threshold and ground truths pair one to one by falling IoU, whatever their classes.
 * Detections whose best partner is a crowd region (IoU over the detection's own area) count nowhere.
 *
 * @param input.scoreThreshold - @defaultValue 0.25
 * @param input.iouThreshold - @defaultValue 0.45
 * @throws EvalInputError as `evaluate`
 */
export function confusionMatrix({
  groundTruth,
  detections,
  iouType = "bbox",
  scoreThreshold = 0.25,
  iouThreshold = 0.45,
}: {
  groundTruth: CocoDataset;
  detections: readonly CocoResult[];
  iouType?: Exclude<IouType, "keypoints">;
  scoreThreshold?: number;
  iouThreshold?: number;
}): ConfusionMatrix {
  const cells = imageCells({ groundTruth, detections, iouType, floor: iouThreshold });
  const background = cells.categoryIds.length;
  const counts = Array.from({ length: background + 1 }, () => new Array<number>(background + 1).fill(0));
  for (const cell of cells.cells()) {
    const { truthOf, inCrowd } = pairImage(cells, cell, { scoreThreshold, iouThreshold });
    const found = new Set<number>();
    cell.detections.forEach((d, row) => {
      if (cells.detections.score[d]! < scoreThreshold) return;
      const predicted = cells.detections.categoryRank[d]!;
      const column = truthOf.get(row);
      if (column !== undefined) {
        found.add(column);
        counts[predicted]![cells.truths.categoryRank[cell.truths[column]!]!]!++;
      } else if (!inCrowd.has(row)) counts[predicted]![background]!++;
    });
    cell.truths.forEach((g, column) => {
      if (!found.has(column) && cells.truths.isCrowd[g] === 0) counts[background]![cells.truths.categoryRank[g]!]!++;
    });
  }
  return { names: [...cells.categoryNames, "background"], counts, scoreThreshold, iouThreshold };
}

function pairImage(
  { truths, detections }: ImageCells,
  cell: ImageCell,
  { scoreThreshold, iouThreshold }: { scoreThreshold: number; iouThreshold: number },
): { truthOf: Map<number, number>; inCrowd: Set<number> } {
  const columns = cell.truths.length;
  const inCrowd = new Set<number>();
  const pairs: { row: number; column: number; iou: number }[] = [];
  cell.detections.forEach((d, row) => {
    if (detections.score[d]! < scoreThreshold) return;
    cell.truths.forEach((g, column) => {
      const iou = cell.ious[row * columns + column]!;
      if (iou < iouThreshold) return;
      if (truths.isCrowd[g] === 1) inCrowd.add(row);
      else pairs.push({ row, column, iou });
    });
  });
  pairs.sort((a, b) => b.iou - a.iou || a.row - b.row || a.column - b.column);
  const truthOf = new Map<number, number>();
  const taken = new Set<number>();
  for (const { row, column } of pairs) {
    if (truthOf.has(row) || taken.has(column)) continue;
    truthOf.set(row, column);
    taken.add(column);
  }
  return { truthOf, inCrowd };
}
