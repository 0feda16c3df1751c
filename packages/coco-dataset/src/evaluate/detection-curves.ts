import { EvalInputError } from "../errors.js";
import { type EvalResult, type EvaluateOptions, evaluate } from "./evaluate.js";
import { EPSILON } from "./oks.js";

/** Precision, recall and F1 at one confidence; -1 without ground truth. */
export interface OperatingValues {
  /** Detections with score >= this count. */
  readonly confidence: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** The raw curve of one class: entry i describes all detections down to the i-th, nothing is interpolated. */
export interface ClassCurve {
  readonly categoryId: number;
  readonly name: string;
  readonly instances: number;
  /** Falling; ignored detections (crowds, other sizes) are left out. */
  readonly scores: Float64Array;
  /** 1 where the detection is a true positive. */
  readonly hits: Uint8Array;
  readonly precision: Float64Array;
  readonly recall: Float64Array;
  readonly f1: Float64Array;
  /** At the requested confidence. */
  readonly atConfidence: OperatingValues;
  /** Where F1 is largest; the highest such confidence. */
  readonly best: OperatingValues;
}

/** Curves of all classes from COCO's matches at one IoU. */
export interface DetectionCurves {
  readonly iouThreshold: number;
  readonly classes: readonly ClassCurve[];
  /** Means over classes with ground truth of the values at the requested confidence. */
  readonly mean: OperatingValues;
  /**
   * Expected calibration error of all detections: sum over 10 equal bins of score of share * |hit rate - mean score|; -1 without detections.
   */
  readonly calibrationError: number;
}

const BINS = 10;

/**
 * P, R and F1 over confidence from COCO's matching (crowds and ignored regions neither hit nor miss).
 *
 * @param options.iouThreshold - @defaultValue 0.5
 * @param options.confidence - of `atConfidence`. @defaultValue 0.25
 * @throws EvalInputError as `evaluate`
 */
export function detectionCurves({
  iouThreshold = 0.5,
  confidence = 0.25,
  params = {},
  ...options
}: Omit<EvaluateOptions, "matches"> & { iouThreshold?: number; confidence?: number }): DetectionCurves {
  const result = evaluate({ ...options, params: { ...params, iouThresholds: [iouThreshold] }, matches: true });
  const classes = result.perClass.map((row) => classCurve(result, row, confidence));
  const counted = classes.filter(({ instances }) => instances > 0);
  const mean = (field: "precision" | "recall" | "f1") =>
    counted.length === 0 ? -1 : counted.reduce((sum, item) => sum + item.atConfidence[field], 0) / counted.length;
  return {
    iouThreshold,
    classes,
    mean: { confidence, precision: mean("precision"), recall: mean("recall"), f1: mean("f1") },
    calibrationError: calibrationError(classes),
  };
}

/** Ranked hits of a class: ignored detections left out, ties in image order. */
export function rankedHits(
  matches: NonNullable<EvalResult["matches"]>,
  categoryId: number,
  t: number,
): { score: number; isHit: boolean; imageId: number }[] {
  return matches
    .filter((cell) => cell.categoryId === categoryId)
    .flatMap((cell) =>
      cell.scores.flatMap((score, d) =>
        cell.detectionIgnored[t]![d]
          ? []
          : [{ score, isHit: cell.detectionMatches[t]![d]! >= 0, imageId: cell.imageId }],
      ),
    )
    .sort((a, b) => b.score - a.score);
}

function classCurve(result: EvalResult, row: EvalResult["perClass"][number], confidence: number): ClassCurve {
  const { categoryId, name, instances } = row;
  if (result.matches === undefined) {
    throw new EvalInputError({ subject: "params", message: "Curves need evaluate(..., { matches: true })." });
  }
  const ranked = rankedHits(result.matches, categoryId, 0);
  const scores = Float64Array.from(ranked, ({ score }) => score);
  const hits = Uint8Array.from(ranked, ({ isHit }) => Number(isHit));
  const precision = new Float64Array(ranked.length);
  const recall = new Float64Array(ranked.length);
  let found = 0;
  hits.forEach((hit, i) => {
    found += hit;
    precision[i] = found / (i + 1);
    recall[i] = instances === 0 ? 0 : found / instances;
  });
  const f1 = precision.map((p, i) => (2 * p * recall[i]!) / (p + recall[i]! + EPSILON));
  const at = (i: number, value: number): OperatingValues => {
    if (instances === 0) return { confidence: value, precision: -1, recall: -1, f1: -1 };
    if (i < 0) return { confidence: value, precision: 0, recall: 0, f1: 0 };
    return { confidence: value, precision: precision[i]!, recall: recall[i]!, f1: f1[i]! };
  };
  // A tie is one operating point: its last detection.
  let best = -1;
  for (let i = 0; i < f1.length; i++) {
    if (scores[i] !== scores[i + 1] && (best < 0 || f1[i]! > f1[best]!)) best = i;
  }
  return {
    categoryId,
    name,
    instances,
    scores,
    hits,
    precision,
    recall,
    f1,
    atConfidence: at(
      scores.findLastIndex((score) => score >= confidence),
      confidence,
    ),
    best: at(best, scores[best] ?? confidence),
  };
}

function calibrationError(classes: readonly ClassCurve[]): number {
  const bins = Array.from({ length: BINS }, () => ({ count: 0, score: 0, hits: 0 }));
  let total = 0;
  for (const { scores, hits } of classes) {
    scores.forEach((score, i) => {
      const bin = bins[Math.min(BINS - 1, Math.max(0, Math.floor(score * BINS)))]!;
      bin.count++;
      bin.score += score;
      bin.hits += hits[i]!;
      total++;
    });
  }
  if (total === 0) return -1;
  return bins.reduce((sum, { score, hits }) => sum + Math.abs(hits - score), 0) / total;
}
