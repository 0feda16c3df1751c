import type { EvalCell } from "./cells.js";
import { type CellMatch, matchCell } from "./match.js";
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
  /** Matches in the first area range, parallel to the cells. */
  readonly matches: CellMatch[][];
}

/** Precision at the recall points and maximum recall, per threshold, category, area range and number of detections. */
export function accumulate(cells: readonly (readonly EvalCell[])[], params: ResolvedEvalParams): Accumulated {
  const shape = [
    params.iouThresholds.length,
    params.recallThresholds.length,
    cells.length,
    params.areaRanges.length,
    params.maxDetections.length,
  ] as const;
  const [numThresholds, numRecalls, numCategories, numAreas, numLimits] = shape;
  const precision = new Float64Array(numThresholds * numRecalls * numCategories * numAreas * numLimits).fill(-1);
  const scores = new Float64Array(precision.length).fill(-1);
  const recall = new Float64Array(numThresholds * numCategories * numAreas * numLimits).fill(-1);
  const firstMatches: CellMatch[][] = [];

  cells.forEach((categoryCells, k) => {
    // The ranking depends on neither area nor threshold; a limit that cuts nothing shares that of the largest one.
    const longest = categoryCells.reduce((most, cell) => Math.max(most, cell.detections.length), 0);
    const full = rankDetections(categoryCells, longest);
    const rankings = params.maxDetections.map((limit) =>
      limit >= longest ? full : rankDetections(categoryCells, limit),
    );
    const curve = { recall: new Float64Array(full.scores.length), precision: new Float64Array(full.scores.length) };
    params.areaRanges.forEach(({ range }, a) => {
      const matches = categoryCells.map((cell) => matchCell(cell, range, params.iouThresholds));
      if (a === 0) firstMatches.push(matches);
      let numRegular = 0;
      for (const match of matches) for (const flag of match.truthIgnored) if (flag === 0) numRegular++;
      if (numRegular === 0) return;
      rankings.forEach((ranked, m) => {
        const count = ranked.scores.length;
        for (let t = 0; t < numThresholds; t++) {
          precisionRecall({ ranked, categoryCells, matches, t, numRegular, curve });
          recall[((t * numCategories + k) * numAreas + a) * numLimits + m] = count === 0 ? 0 : curve.recall[count - 1]!;
          let position = 0;
          for (let r = 0; r < numRecalls; r++) {
            const wanted = params.recallThresholds[r]!;
            while (position < count && curve.recall[position]! < wanted) position++;
            const at = (((t * numRecalls + r) * numCategories + k) * numAreas + a) * numLimits + m;
            const isReached = position < count;
            precision[at] = isReached ? curve.precision[position]! : 0;
            scores[at] = isReached ? ranked.scores[position]! : 0;
          }
        }
      });
    });
  });
  return { precision, scores, recall, shape, matches: firstMatches };
}

interface Ranked {
  /** Cell and position in the cell of each detection, by falling score; ties in image order. */
  readonly cell: Int32Array;
  readonly position: Int32Array;
  readonly scores: Float64Array;
}

function rankDetections(cells: readonly EvalCell[], limit: number): Ranked {
  const owner: number[] = [];
  const position: number[] = [];
  const score: number[] = [];
  cells.forEach((cell, c) => {
    const count = Math.min(limit, cell.detections.length);
    for (let d = 0; d < count; d++) {
      owner.push(c);
      position.push(d);
      score.push(cell.detections[d]!.score);
    }
  });
  const order = new Int32Array(score.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  order.sort((a, b) => score[b]! - score[a]! || a - b);
  return {
    cell: order.map((i) => owner[i]!),
    position: order.map((i) => position[i]!),
    scores: Float64Array.from(order, (i) => score[i]!),
  };
}

/** Fills recall and the monotone envelope of precision after each ranked detection; ignored ones move neither. */
function precisionRecall(input: {
  ranked: Ranked;
  categoryCells: readonly EvalCell[];
  matches: readonly CellMatch[];
  t: number;
  numRegular: number;
  curve: { readonly recall: Float64Array; readonly precision: Float64Array };
}): void {
  const { ranked, categoryCells, matches, t, numRegular } = input;
  const { recall, precision } = input.curve;
  const count = ranked.scores.length;
  let truePositives = 0;
  let falsePositives = 0;
  for (let i = 0; i < count; i++) {
    const c = ranked.cell[i]!;
    const match = matches[c]!;
    const at = t * categoryCells[c]!.detections.length + ranked.position[i]!;
    if (match.detectionIgnored[at] === 0) {
      if (match.detectionMatch[at]! >= 0) truePositives++;
      else falsePositives++;
    }
    recall[i] = truePositives / numRegular;
    precision[i] = truePositives / (falsePositives + truePositives + EPSILON);
  }
  for (let i = count - 1; i > 0; i--) if (precision[i]! > precision[i - 1]!) precision[i - 1] = precision[i]!;
}
