import { MATCHED } from "./match.js";
import { EPSILON } from "./oks.js";
import type { ResolvedEvalParams } from "./params.js";

/** COCOeval's arrays; -1 where a category has no ground truth in the area range. */
export interface Accumulated {
  /** [T, R, K, A, M]: thresholds, recall points, categories, areas, maximum detections. */
  readonly precision: Float64Array;
  /** [T, R, K, A, M]: score at each recall point. */
  readonly scores: Float64Array;
  /** [T, K, A, M] */
  readonly recall: Float64Array;
  readonly shape: readonly [number, number, number, number, number];
}

/** Arrays of -1. */
export function emptyAccumulated(params: ResolvedEvalParams, numCategories: number): Accumulated {
  const shape = [
    params.iouThresholds.length,
    params.recallThresholds.length,
    numCategories,
    params.areaRanges.length,
    params.maxDetections.length,
  ] as const;
  const [numThresholds, numRecalls, , numAreas, numLimits] = shape;
  const cells = numThresholds * numCategories * numAreas * numLimits;
  return {
    precision: new Float64Array(cells * numRecalls).fill(-1),
    scores: new Float64Array(cells * numRecalls).fill(-1),
    recall: new Float64Array(cells).fill(-1),
    shape,
  };
}

/** Detections of one category by falling score. */
export interface RankedCategory {
  /** Positions in the category's detections. */
  readonly ranking: Int32Array;
  /** By position. */
  readonly scores: Float64Array;
  readonly positionInCell: Int32Array;
}

/**
 * Fills category k, area a: precision at the recall points and maximum recall.
 *
 * Recall changes at true positives only, and the monotone envelope of precision takes its values there, so the k-th true positive with
 * precision k / (fp + k + eps) is all that is kept. Recall 0 is reached by the first detection, whatever it is.
 *
 * @param statuses - `[detection][T]` bits by position in the category
 * @param numRegular - ground truths that count, > 0
 */
export function accumulateCategory(input: {
  accumulated: Accumulated;
  params: ResolvedEvalParams;
  ranked: RankedCategory;
  statuses: Uint8Array;
  numRegular: number;
  k: number;
  a: number;
}): void {
  const { accumulated, params, ranked, statuses, numRegular, k, a } = input;
  const { ranking, scores, positionInCell } = ranked;
  const [numThresholds, numRecalls, numCategories, numAreas, numLimits] = accumulated.shape;
  const wanted = neededHits(params.recallThresholds, numRegular);
  const hits = new Int32Array(numThresholds);
  const misses = new Int32Array(numThresholds);
  /** [T][hit]: false positives before it, its place in the ranking. */
  const missesAt = new Int32Array(numThresholds * numRegular);
  const placeOf = new Int32Array(numThresholds * numRegular);
  const envelope = new Float64Array(numRegular);
  let longest = 0;
  for (let i = 0; i < positionInCell.length; i++) longest = Math.max(longest, positionInCell[i]! + 1);
  for (let m = 0; m < numLimits; m++) {
    const limit = params.maxDetections[m]!;
    const target = (t: number, r: number) =>
      (((t * numRecalls + r) * numCategories + k) * numAreas + a) * numLimits + m;
    // A limit that cuts nothing gives what the largest one gives: copied from the last slot below.
    if (m < numLimits - 1 && limit >= longest) continue;
    hits.fill(0);
    misses.fill(0);
    let first = -1;
    for (let place = 0; place < ranking.length; place++) {
      const d = ranking[place]!;
      if (positionInCell[d]! >= limit) continue;
      if (first < 0) first = d;
      const from = d * numThresholds;
      for (let t = 0; t < numThresholds; t++) {
        const status = statuses[from + t]!;
        if (status === 0) misses[t]!++;
        else if (status === MATCHED) {
          const at = t * numRegular + hits[t]!++;
          missesAt[at] = misses[t]!;
          placeOf[at] = place;
        }
      }
    }
    for (let t = 0; t < numThresholds; t++) {
      const count = hits[t]!;
      accumulated.recall[((t * numCategories + k) * numAreas + a) * numLimits + m] = first < 0 ? 0 : count / numRegular;
      let best = 0;
      for (let hit = count; hit > 0; hit--) {
        const precision = hit / (missesAt[t * numRegular + hit - 1]! + hit + EPSILON);
        if (precision > best) best = precision;
        envelope[hit - 1] = best;
      }
      for (let r = 0; r < numRecalls; r++) {
        const needed = wanted[r]!;
        const isReached = first >= 0 && needed <= count;
        const at = target(t, r);
        accumulated.precision[at] = !isReached ? 0 : needed > 0 ? envelope[needed - 1]! : best;
        accumulated.scores[at] = !isReached
          ? 0
          : scores[needed > 0 ? ranking[placeOf[t * numRegular + needed - 1]!]! : first]!;
      }
    }
  }
  shareLast(input, longest);
}

/** Copies the values of the largest limit to the limits that cut nothing. */
function shareLast(input: Parameters<typeof accumulateCategory>[0], longest: number): void {
  const { accumulated, params, k, a } = input;
  const [numThresholds, numRecalls, numCategories, numAreas, numLimits] = accumulated.shape;
  for (let m = 0; m < numLimits - 1; m++) {
    if (params.maxDetections[m]! < longest) continue;
    for (let t = 0; t < numThresholds; t++) {
      const row = ((t * numCategories + k) * numAreas + a) * numLimits;
      accumulated.recall[row + m] = accumulated.recall[row + numLimits - 1]!;
      for (let r = 0; r < numRecalls; r++) {
        const at = (((t * numRecalls + r) * numCategories + k) * numAreas + a) * numLimits;
        accumulated.precision[at + m] = accumulated.precision[at + numLimits - 1]!;
        accumulated.scores[at + m] = accumulated.scores[at + numLimits - 1]!;
      }
    }
  }
}

/** Per recall point the smallest number of true positives n with n / numRegular >= point. */
function neededHits(recallThresholds: readonly number[], numRegular: number): Int32Array {
  const result = new Int32Array(recallThresholds.length);
  let hits = 0;
  recallThresholds.forEach((wanted, r) => {
    // A point above 1 is never reached.
    while (hits / numRegular < wanted && hits <= numRegular) hits++;
    result[r] = hits;
  });
  return result;
}
