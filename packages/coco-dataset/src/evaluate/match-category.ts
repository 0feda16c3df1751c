import type { CellOrder } from "./cell-order.js";
import type { Cell, CellSimilarity } from "./cell-similarity.js";
import type { DetectionTable } from "./detection-table.js";
import { type CellMatch, type CellMatcher, IGNORED } from "./match.js";
import type { ResolvedEvalParams } from "./params.js";
import type { TruthTable } from "./truth-table.js";

/** Matching of one image and category in area range "all"; T thresholds. */
export interface ImageMatches {
  readonly imageId: number;
  /** -1 when class-agnostic. */
  readonly categoryId: number;
  /** 0-based rows of the results, by falling score. */
  readonly detectionRows: readonly number[];
  readonly scores: readonly number[];
  /** Annotation ids in matching order: ignored ones last. */
  readonly groundTruthIds: readonly number[];
  readonly groundTruthIgnored: readonly boolean[];
  /** T x detections: position in `groundTruthIds`, -1 unmatched. */
  readonly detectionMatches: readonly (readonly number[])[];
  /** T x detections. */
  readonly detectionIgnored: readonly (readonly boolean[])[];
  /** T x ground truths: position in `detectionRows`, -1 unmatched. */
  readonly groundTruthMatches: readonly (readonly number[])[];
}

/**
 * Matches every non-empty cell of category k in every area range.
 *
 * @returns per area `[detection][T]` status bits by position in the category, and the number of ground truths that count
 */
export function matchCategory(input: {
  k: number;
  order: CellOrder;
  truths: TruthTable;
  detections: DetectionTable;
  params: ResolvedEvalParams;
  similarity: CellSimilarity;
  matcher: CellMatcher;
  withMatches: boolean;
}): { statuses: Uint8Array[]; numRegular: Int32Array; matches: ImageMatches[] } {
  const { k, order, params, similarity, matcher, withMatches } = input;
  const numThresholds = params.iouThresholds.length;
  const first = order.detectionStart[k]!;
  const numDetections = order.detectionStart[k + 1]! - first;
  const statuses = params.areaRanges.map(() => new Uint8Array(numDetections * numThresholds));
  const numRegular = new Int32Array(params.areaRanges.length);
  const matches: ImageMatches[] = [];
  for (const { cell, image, detectionStart } of cellsOf(input)) {
    matcher.reserve(cell.truths.length * cell.detections.length);
    similarity(cell, matcher.ious);
    matcher.load(cell);
    for (let a = 0; a < params.areaRanges.length; a++) {
      const match = withMatches && a === 0 ? emptyMatch(cell, numThresholds) : undefined;
      const at = (detectionStart - first) * numThresholds;
      numRegular[a]! += matcher.match(params.areaRanges[a]!.range, statuses[a]!, at, match);
      if (match !== undefined) matches.push(imageMatches({ ...input, cell, image, match, statuses: statuses[a]!, at }));
    }
  }
  return { statuses, numRegular, matches };
}

/** Non-empty cells of a category, images ascending. */
function* cellsOf({
  k,
  order,
  truths,
  detections,
}: {
  k: number;
  order: CellOrder;
  truths: TruthTable;
  detections: DetectionTable;
}): Generator<{ cell: Cell; image: number; detectionStart: number }> {
  let g = order.truthStart[k]!;
  let d = order.detectionStart[k]!;
  const truthEnd = order.truthStart[k + 1]!;
  const detectionEnd = order.detectionStart[k + 1]!;
  const truthImage = (at: number) => (at < truthEnd ? truths.imageRank[order.truths[at]!]! : Infinity);
  const detectionImage = (at: number) => (at < detectionEnd ? detections.imageRank[order.detections[at]!]! : Infinity);
  while (g < truthEnd || d < detectionEnd) {
    const image = Math.min(truthImage(g), detectionImage(d));
    const truthStart = g;
    const detectionStart = d;
    while (truthImage(g) === image) g++;
    while (detectionImage(d) === image) d++;
    const cell = {
      truths: order.truths.subarray(truthStart, g),
      detections: order.detections.subarray(detectionStart, d),
    };
    yield { cell, image, detectionStart };
  }
}

function emptyMatch(cell: Cell, numThresholds: number): CellMatch {
  return {
    truthIgnored: new Uint8Array(cell.truths.length),
    detectionMatch: new Int32Array(numThresholds * cell.detections.length).fill(-1),
    truthMatch: new Int32Array(numThresholds * cell.truths.length),
  };
}

function imageMatches(input: {
  k: number;
  truths: TruthTable;
  detections: DetectionTable;
  params: ResolvedEvalParams;
  cell: Cell;
  image: number;
  match: CellMatch;
  statuses: Uint8Array;
  at: number;
}): ImageMatches {
  const { k, truths, detections, params, cell, image, match, statuses, at } = input;
  const numThresholds = params.iouThresholds.length;
  // Two passes are COCOeval's stable sort: regular ones in file order, then the ignored.
  const order = [0, 1].flatMap((pass) => Array.from(cell.truths.keys()).filter((g) => match.truthIgnored[g] === pass));
  const placeOf = new Map(order.map((g, place) => [g, place]));
  const perThreshold = <T>(count: number, read: (t: number, i: number) => T) =>
    params.iouThresholds.map((_, t) => Array.from({ length: count }, (_unused, i) => read(t, i)));
  const numDetections = cell.detections.length;
  return {
    imageId: params.imageIds[image]!,
    categoryId: params.useCategories ? params.categoryIds[k]! : -1,
    detectionRows: Array.from(cell.detections),
    scores: Array.from(cell.detections, (d) => detections.score[d]!),
    groundTruthIds: order.map((g) => truths.annotations[cell.truths[g]!]!.id),
    groundTruthIgnored: order.map((g) => match.truthIgnored[g] === 1),
    detectionMatches: perThreshold(
      numDetections,
      (t, d) => placeOf.get(match.detectionMatch[t * numDetections + d]!) ?? -1,
    ),
    detectionIgnored: perThreshold(numDetections, (t, d) => (statuses[at + d * numThresholds + t]! & IGNORED) !== 0),
    groundTruthMatches: perThreshold(order.length, (t, place) => match.truthMatch[t * order.length + order[place]!]!),
  };
}
