import type { EvalResult, ImageMatches } from "@seg/coco-dataset";

/** What one model did with one image and class at IoU 0.5. */
export interface MatchedCell {
  readonly imageId: number;
  readonly categoryId: number;
  /** Ids of the annotations that count, found and missed. */
  readonly found: readonly number[];
  readonly missed: readonly number[];
  /** Detections of nothing. */
  readonly wrong: number;
}

/**
 * Found and missed objects at a confidence. COCO matches by falling score, so what a detection takes does not depend on less confident
 * ones: the matches of all detections, cut off at the confidence, are the matches at that confidence.
 *
 * @param result - of `evaluate(..., { matches: true })` with IoU 0.5 among its thresholds
 * @param confidence - null: every detection counts
 * @throws RangeError without matches
 */
export function matchedObjects(result: EvalResult, confidence: number | null): MatchedCell[] {
  const t = halfIou(result);
  const counts = (score: number) => confidence === null || score >= confidence;
  return result.matches!.map((cell) => {
    const partners = cell.groundTruthMatches[t]!;
    const ids = cell.groundTruthIds.flatMap((id, g) =>
      cell.groundTruthIgnored[g] ? [] : [{ id, isFound: partners[g]! >= 0 && counts(cell.scores[partners[g]!]!) }],
    );
    return {
      imageId: cell.imageId,
      categoryId: cell.categoryId,
      found: ids.filter(({ isFound }) => isFound).map(({ id }) => id),
      missed: ids.filter(({ isFound }) => !isFound).map(({ id }) => id),
      wrong: hitsOf(cell, t).filter(({ score, isHit }) => !isHit && counts(score)).length,
    };
  });
}

/**
 * Detections of one class, best first; ignored ones (crowds) are left out.
 * @throws RangeError without matches
 */
export function rankedDetections(result: EvalResult, categoryId: number): { score: number; isHit: boolean }[] {
  const t = halfIou(result);
  return result
    .matches!.filter((cell) => cell.categoryId === categoryId)
    .flatMap((cell) => hitsOf(cell, t))
    .sort((a, b) => b.score - a.score);
}

const hitsOf = (cell: ImageMatches, t: number) =>
  cell.scores.flatMap((score, d) =>
    cell.detectionIgnored[t]![d] ? [] : [{ score, isHit: cell.detectionMatches[t]![d]! >= 0 }],
  );

/** Position of IoU 0.5 among the thresholds. */
export function halfIou({ matches, params }: EvalResult): number {
  const t = params.iouThresholds.findIndex((value) => Math.abs(value - 0.5) < 1e-9);
  if (matches === undefined || t < 0) {
    throw new RangeError("Found objects need evaluate(..., { matches: true }) with IoU 0.5 among its thresholds.");
  }
  return t;
}
