import type { DetectionTable } from "./detection-table.js";
import type { ResolvedEvalParams } from "./params.js";
import { byFallingScore, byRank, identityOrder } from "./stable-order.js";
import type { TruthTable } from "./truth-table.js";

/** Positions of the tables, ordered by category (one when class-agnostic), image, and within a cell as matching wants them. */
export interface CellOrder {
  /** Truths of a cell in file order. */
  readonly truths: Int32Array;
  /** Detections of a cell by falling score, cut to the largest `maxDetections`. */
  readonly detections: Int32Array;
  /** Detections by category and falling score; ties in image order. Values are positions in {@link CellOrder.detections}. */
  readonly ranking: Int32Array;
  /** Of each entry of `detections` in its cell, from 0. */
  readonly positionInCell: Int32Array;
  /** Category k owns `[start[k], start[k + 1])` of `truths`, and of `detections` and `ranking`. */
  readonly truthStart: Int32Array;
  readonly detectionStart: Int32Array;
  /** Detections beyond the largest `maxDetections` of their cell. */
  readonly dropped: number;
}

/** Sorts by digits (category, image, score), so that empty cells cost nothing. */
export function cellOrder(truths: TruthTable, detections: DetectionTable, params: ResolvedEvalParams): CellOrder {
  const numImages = params.imageIds.length;
  const numCategories = params.categoryIds.length;
  const isAgnostic = !params.useCategories;
  const byCategory = (order: Int32Array, ranks: Int32Array) => byRank(order, ranks, numCategories);
  // Class-agnostic lists run over categories first, then file order: ties in score keep that order.
  let truthOrder = identityOrder(truths.count);
  if (isAgnostic) truthOrder = byCategory(truthOrder, truths.categoryRank);
  truthOrder = byRank(truthOrder, truths.imageRank, numImages);
  let detectionOrder = identityOrder(detections.count);
  if (isAgnostic) detectionOrder = byCategory(detectionOrder, detections.categoryRank);
  // By falling score, ties in image order: the ranking of all; both orders below are stable re-groupings of it.
  const ranked = byFallingScore(byRank(detectionOrder, detections.imageRank, numImages), detections.score);
  detectionOrder = byRank(ranked, detections.imageRank, numImages);
  if (!isAgnostic) {
    truthOrder = byCategory(truthOrder, truths.categoryRank);
    detectionOrder = byCategory(detectionOrder, detections.categoryRank);
  }
  const { kept, positionInCell } = cutCells(detectionOrder, detections, params.maxDetections.at(-1)!, isAgnostic);
  const place = new Int32Array(detections.count).fill(-1);
  for (let i = 0; i < kept.length; i++) place[kept[i]!] = i;
  const rankedByCategory = isAgnostic ? ranked : byCategory(ranked, detections.categoryRank);
  const numCells = isAgnostic ? 1 : numCategories;
  return {
    truths: truthOrder,
    detections: kept,
    ranking: rankedByCategory.filter((d) => place[d]! >= 0).map((d) => place[d]!),
    positionInCell,
    truthStart: starts(truthOrder, (g) => (isAgnostic ? 0 : truths.categoryRank[g]!), numCells),
    detectionStart: starts(kept, (d) => (isAgnostic ? 0 : detections.categoryRank[d]!), numCells),
    dropped: detectionOrder.length - kept.length,
  };
}

function cutCells(order: Int32Array, { imageRank, categoryRank }: DetectionTable, limit: number, isAgnostic: boolean) {
  const kept = new Int32Array(order.length);
  const positionInCell = new Int32Array(order.length);
  let count = 0;
  let position = 0;
  for (let i = 0; i < order.length; i++) {
    const d = order[i]!;
    const before = order[i - 1] ?? -1;
    const isSameCell =
      i > 0 && imageRank[before] === imageRank[d] && (isAgnostic || categoryRank[before] === categoryRank[d]);
    position = isSameCell ? position + 1 : 0;
    if (position >= limit) continue;
    kept[count] = d;
    positionInCell[count++] = position;
  }
  return { kept: kept.slice(0, count), positionInCell: positionInCell.slice(0, count) };
}

function starts(order: Int32Array, categoryOf: (index: number) => number, numCategories: number): Int32Array {
  const result = new Int32Array(numCategories + 1);
  for (const index of order) result[categoryOf(index) + 1]!++;
  for (let k = 0; k < numCategories; k++) result[k + 1]! += result[k]!;
  return result;
}
