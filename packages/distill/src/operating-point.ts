import type { EvalResult } from "@seg/coco-dataset";

/** Precision and recall at the confidence of the best class-mean F1. */
export interface OperatingPoint {
  readonly confidence: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

const GRID = 1000;
/** Width of the box filter that smooths the F1 curve, in grid points: 5 % of the axis. */
const SMOOTHING = 51;

/**
 * The confidence (multiples of 1/1000) where the F1 of IoU 0.5, averaged over classes with ground truth and smoothed, is largest.
 *
 * @param result - of `evaluate(..., matches: true)` with IoU 0.5 among its thresholds
 * @returns zeros without ground truth
 * @throws RangeError without matches
 */
export function operatingPoint(result: EvalResult): OperatingPoint {
  const t = result.params.iouThresholds.findIndex((value) => Math.abs(value - 0.5) < 1e-9);
  if (!result.matches || t < 0)
    throw new RangeError("operatingPoint needs evaluate(..., { matches: true }) with IoU 0.5.");
  const classes = result.perClass.filter(({ instances }) => instances > 0);
  const precision = new Float64Array(GRID + 1);
  const recall = new Float64Array(GRID + 1);
  const f1 = new Float64Array(GRID + 1);
  for (const { categoryId, instances } of classes) {
    // Detections by the grid cell of their score, then sums from the top: everything with a score >= k / GRID.
    const hits = new Float64Array(GRID + 2);
    const all = new Float64Array(GRID + 2);
    for (const cell of result.matches) {
      if (cell.categoryId !== categoryId) continue;
      cell.scores.forEach((score, d) => {
        if (cell.detectionIgnored[t]![d]) return;
        const k = Math.min(GRID, Math.max(0, Math.floor(score * GRID)));
        all[k]! += 1;
        if (cell.detectionMatches[t]![d]! >= 0) hits[k]! += 1;
      });
    }
    for (let k = GRID - 1; k >= 0; k--) {
      all[k]! += all[k + 1]!;
      hits[k]! += hits[k + 1]!;
    }
    for (let k = 0; k <= GRID; k++) {
      const p = all[k]! === 0 ? 0 : hits[k]! / all[k]!;
      const r = hits[k]! / instances;
      precision[k]! += p / classes.length;
      recall[k]! += r / classes.length;
      f1[k]! += (p + r === 0 ? 0 : (2 * p * r) / (p + r)) / classes.length;
    }
  }
  let best = 0;
  let bestValue = -1;
  for (let k = 0; k <= GRID; k++) {
    let sum = 0;
    for (let i = k - (SMOOTHING >> 1); i <= k + (SMOOTHING >> 1); i++) sum += f1[Math.min(GRID, Math.max(0, i))]!;
    if (sum > bestValue) {
      bestValue = sum;
      best = k;
    }
  }
  return { confidence: best / GRID, precision: precision[best]!, recall: recall[best]!, f1: f1[best]! };
}
