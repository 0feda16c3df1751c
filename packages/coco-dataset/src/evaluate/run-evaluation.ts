import type { CocoImage } from "../document.js";
import { type Accumulated, accumulateCategory, emptyAccumulated, type RankedCategory } from "./accumulate.js";
import { type CellOrder, cellOrder } from "./cell-order.js";
import { cellSimilarity } from "./cell-similarity.js";
import type { DetectionTable } from "./detection-table.js";
import { CellMatcher } from "./match.js";
import { type ImageMatches, matchCategory } from "./match-category.js";
import type { IouType, ResolvedEvalParams } from "./params.js";
import type { TruthTable } from "./truth-table.js";

/** What evaluating two tables gave. */
export interface EvaluationRun {
  readonly accumulated: Accumulated;
  /** [K, A]: ground truths that count. */
  readonly instances: Int32Array;
  /** Categories with detections and without any ground truth. */
  readonly lonely: readonly { readonly k: number; readonly count: number }[];
  /** Detections beyond the largest `maxDetections`. */
  readonly dropped: number;
  /** Empty unless asked for. */
  readonly matches: readonly ImageMatches[];
}

/** Matches and accumulates category by category. */
export function runEvaluation(input: {
  truths: TruthTable;
  detections: DetectionTable;
  images: ReadonlyMap<number, CocoImage>;
  params: ResolvedEvalParams;
  iouType: IouType;
  reproduceIdZero?: boolean;
  withMatches?: boolean;
}): EvaluationRun {
  const { truths, detections, params, reproduceIdZero = false, withMatches = false } = input;
  const order = cellOrder(truths, detections, params);
  const similarity = cellSimilarity(input);
  const matcher = new CellMatcher({
    truths,
    detections,
    thresholds: params.iouThresholds,
    unmatchedId: reproduceIdZero ? 0 : null,
  });
  const numCategories = params.useCategories ? params.categoryIds.length : 1;
  const numAreas = params.areaRanges.length;
  const accumulated = emptyAccumulated(params, numCategories);
  const matches: ImageMatches[] = [];
  const instances = new Int32Array(numCategories * numAreas);
  const lonely: { k: number; count: number }[] = [];
  for (let k = 0; k < numCategories; k++) {
    const result = matchCategory({ k, order, truths, detections, params, similarity, matcher, withMatches });
    const count = order.detectionStart[k + 1]! - order.detectionStart[k]!;
    if (order.truthStart[k] === order.truthStart[k + 1] && count > 0) lonely.push({ k, count });
    for (const match of result.matches) matches.push(match);
    const ranked = rankedCategory(k, order, detections);
    result.numRegular.forEach((numRegular, a) => {
      instances[k * numAreas + a] = numRegular;
      const statuses = result.statuses[a]!;
      if (numRegular > 0) accumulateCategory({ accumulated, params, ranked, statuses, numRegular, k, a });
    });
  }
  return { accumulated, instances, lonely, dropped: order.dropped, matches };
}

function rankedCategory(k: number, order: CellOrder, { score }: DetectionTable): RankedCategory {
  const start = order.detectionStart[k]!;
  const end = order.detectionStart[k + 1]!;
  return {
    ranking: order.ranking.subarray(start, end).map((position) => position - start),
    scores: Float64Array.from(order.detections.subarray(start, end), (d) => score[d]!),
    positionInCell: order.positionInCell.subarray(start, end),
  };
}

/** Position of each id. */
export function rankOf(ids: readonly number[]): Map<number, number> {
  return new Map(ids.map((id, rank) => [id, rank]));
}
