import type { EvalResult } from "@seg/coco-dataset";
import type { EvaluationCurves, Operating } from "../report-data.js";
import { halfIou, rankedDetections } from "./matched-objects.js";

/** Steps of the recall and confidence axes; COCO's own recall points. */
const STEPS = 100;
/** More classes than this are kept as their mean alone: lines could not be told apart. */
const MAX_LINES = 6;

const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;

/**
 * The curves of an evaluation that was made with matches: precision over recall as COCO interpolates it, F1 over confidence, and each
 * class's best F1. Nothing is matched again.
 *
 * @throws RangeError without matches or IoU 0.5
 */
export function evaluationCurves({
  model,
  kind,
  result,
}: {
  model: string;
  kind: "box" | "mask";
  result: EvalResult;
}): EvaluationCurves {
  const t = halfIou(result);
  const [, R, K, A, M] = result.shape;
  const classes = result.perClass.flatMap(({ categoryId, name, instances }, k) => {
    if (instances === 0) return [];
    // [T, R, K, A, M]: area "all", the largest number of detections.
    const precision = Array.from({ length: R }, (_, r) => result.precision[((t * R + r) * K + k) * A * M + M - 1]!);
    const points = operatingPoints(rankedDetections(result, categoryId), instances);
    const best = points.reduce((a, b) => (b.f1 >= a.f1 ? b : a));
    return [{ name, objects: instances, precision, f1: points.map(({ f1 }) => f1), best }];
  });
  const mean = (pick: (entry: (typeof classes)[number]) => number[]) =>
    Array.from({ length: STEPS + 1 }, (_, i) =>
      rounded(classes.reduce((sum, entry) => sum + pick(entry)[i]!, 0) / classes.length),
    );
  const all = { name: "mean of the classes", precision: mean((c) => c.precision), f1: mean((c) => c.f1) };
  const single = classes.map(({ name, precision, f1 }) => ({
    name,
    precision: precision.map(rounded),
    f1: f1.map(rounded),
  }));
  return {
    model,
    kind,
    lines: classes.length === 0 ? [] : [all, ...(classes.length > 1 && classes.length <= MAX_LINES ? single : [])],
    perClass: classes.map(({ name, objects, best }) => ({ name, objects, best })),
  };
}

/** Precision, recall and F1 of the detections with confidence of at least k / 100; zeros where none is. */
function operatingPoints(ranked: readonly { score: number; isHit: boolean }[], objects: number): Operating[] {
  const points: Operating[] = [];
  let count = 0;
  let hits = 0;
  for (let k = STEPS; k >= 0; k--) {
    for (; count < ranked.length && ranked[count]!.score >= k / STEPS; count++) hits += Number(ranked[count]!.isHit);
    const precision = count === 0 ? 0 : hits / count;
    const recall = hits / objects;
    points.unshift({
      confidence: k / STEPS,
      precision,
      recall,
      f1: hits === 0 ? 0 : (2 * precision * recall) / (precision + recall),
    });
  }
  return points;
}
