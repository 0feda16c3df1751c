import type { ClassCurve, ConfusionMatrix, DetectionCurves } from "@seg/coco-dataset";
import { type LinePoint, lineChart, matrixChart, type SafeHtml } from "../charts/index.js";

/** Steps of the confidence axis. */
const STEPS = 200;
/** More classes than this are drawn as their mean alone: lines could not be told apart. */
const MAX_LINES = 6;

/** Values of a class at confidence thresholds k / STEPS: everything that scores at least this counts; 0 where nothing does. */
function overConfidence({ scores }: ClassCurve, values: Float64Array, atNone: number): number[] {
  const result: number[] = [];
  let count = scores.length;
  for (let k = 0; k <= STEPS; k++) {
    while (count > 0 && scores[count - 1]! < k / STEPS) count -= 1;
    result.push(count === 0 ? atNone : values[count - 1]!);
  }
  return result;
}

/** Highest precision at recall of at least k / STEPS, as average precision is computed. */
function overRecall({ precision, recall }: ClassCurve): number[] {
  const envelope = Float64Array.from(precision);
  for (let i = envelope.length - 2; i >= 0; i--) envelope[i] = Math.max(envelope[i]!, envelope[i + 1]!);
  const result: number[] = [];
  let at = 0;
  for (let k = 0; k <= STEPS; k++) {
    while (at < recall.length && recall[at]! < k / STEPS) at += 1;
    result.push(at < envelope.length ? envelope[at]! : 0);
  }
  return result;
}

const points = (values: readonly number[]): LinePoint[] => values.map((value, k) => [k / STEPS, value] as const);

/**
 * Four charts by file name without prefix: `PR_curve` (precision over recall, `IoU` of the curves), `F1_curve`, `P_curve` and `R_curve` over the
 * confidence. Few classes each get a line beside their mean.
 */
export function curvePlots({ iouThreshold, classes }: DetectionCurves): Readonly<Record<string, SafeHtml>> {
  const counted = classes.filter(({ instances }) => instances > 0);
  const chart = (title: string, xLabel: string, yLabel: string, valuesOf: (curve: ClassCurve) => number[]) => {
    const lines = counted.map((curve) => ({ name: curve.name, values: valuesOf(curve) }));
    const mean = Array.from({ length: STEPS + 1 }, (_, k) =>
      lines.length === 0 ? Number.NaN : lines.reduce((sum, { values }) => sum + values[k]!, 0) / lines.length,
    );
    const shown = lines.length > 1 && lines.length < MAX_LINES ? lines : lines.length === 1 ? lines : [];
    const all = lines.length === 1 ? shown : [{ name: "mean of the classes", values: mean }, ...shown];
    const series = all.map(({ name, values }) => ({ name, points: points(values) }));
    return lineChart({ title, series, xLabel, yLabel, yMax: 1, isFraction: true });
  };
  const iou = `IoU ${iouThreshold}`;
  return {
    PR_curve: chart(`Precision over recall, ${iou}`, "recall", "precision", overRecall),
    F1_curve: chart(`F1 over confidence, ${iou}`, "confidence", "F1", (c) => overConfidence(c, c.f1, 0)),
    P_curve: chart(`Precision over confidence, ${iou}`, "confidence", "precision", (c) =>
      overConfidence(c, c.precision, 1),
    ),
    R_curve: chart(`Recall over confidence, ${iou}`, "confidence", "recall", (c) => overConfidence(c, c.recall, 0)),
  };
}

/** `confusion_matrix` in counts and `confusion_matrix_normalized` by annotated class (columns add up to 1). */
export function confusionPlots({
  names,
  counts,
  scoreThreshold,
  iouThreshold,
}: ConfusionMatrix): Readonly<Record<string, SafeHtml>> {
  const axes = { names, rowLabel: "predicted", columnLabel: "annotated" };
  const title = `Confusion at confidence ${scoreThreshold}, IoU ${iouThreshold}`;
  const sums = names.map((_, column) => counts.reduce((sum, row) => sum + row[column]!, 0));
  const shares = counts.map((row) =>
    row.map((value, column) => (sums[column] === 0 ? Number.NaN : value / sums[column]!)),
  );
  const twoDecimals = (value: number) => (value < 0.005 ? "" : value.toFixed(2));
  return {
    confusion_matrix: matrixChart({
      ...axes,
      title,
      rows: counts,
      format: (value) => (value === 0 ? "" : String(value)),
    }),
    confusion_matrix_normalized: matrixChart({
      ...axes,
      title: `${title}, by annotated class`,
      rows: shares,
      format: twoDecimals,
    }),
  };
}
