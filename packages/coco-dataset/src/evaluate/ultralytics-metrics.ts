import type { CocoDataset, CocoResult } from "../document.js";
import { EvalInputError } from "../errors.js";
import { evaluate } from "./evaluate.js";
import { type ImageCell, type ImageCells, imageCells } from "./image-cells.js";
import { interpolate } from "./interpolate.js";
import type { IouType } from "./params.js";
import { byFallingScore, identityOrder } from "./stable-order.js";

/** How the precision-recall curve is closed after the last detection. */
export type UltralyticsSentinel = "classic" | "trimmed";

/** Values of one class with at least one ground truth. */
export interface UltralyticsClass {
  readonly categoryId: number;
  readonly name: string;
  readonly instances: number;
  readonly ap50: number;
  /** Mean over IoU 0.5, 0.55, ..., 0.95. */
  readonly ap: number;
  /** At {@link UltralyticsMetrics.confidence}, IoU 0.5. */
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** Numbers as Ultralytics trainers report them; never equal to COCO's, so never printed under COCO's name. */
export interface UltralyticsMetrics {
  readonly sentinel: UltralyticsSentinel;
  readonly crowd: "drop" | "keep";
  readonly maxDetections: number;
  readonly map50: number;
  readonly map: number;
  /** Class means at `confidence`. */
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Where the smoothed class-mean F1 peaks; one for all classes. */
  readonly confidence: number;
  /** 0.1 map50 + 0.9 map. */
  readonly fitness: number;
  readonly perClass: readonly UltralyticsClass[];
  /** Class means on 1000 confidences from 0 to 1, IoU 0.5. */
  readonly curves: {
    readonly confidence: Float64Array;
    readonly precision: Float64Array;
    readonly recall: Float64Array;
    readonly f1: Float64Array;
  };
  /** This minus COCOeval's numbers for the same input. */
  readonly cocoDelta: { readonly map50: number; readonly map: number };
  /** Why the numbers differ, one paragraph. */
  readonly explanation: string;
}

const THRESHOLDS = Array.from({ length: 10 }, (_, i) => 0.5 + 0.05 * i);
/** Keeps divisions finite; values as published. */
const IOU_EPSILON = 1e-7;
const EPSILON = 1e-16;
const CURVE_POINTS = 1000;
/** Width of the box filter over the F1 curve. */
const SMOOTHING = 101;

/**
 * Detection metrics in the manner of Ultralytics: per image each detection keeps its best ground truth of its class, each ground truth its
 * most confident detection, and losers are not assigned again; AP is the trapezoid of a linearly interpolated envelope.
 *
 * @param input.detections - confidence >= 0.001 after NMS at IoU 0.7: the caller's job; more than `maxDetections` an image are refused
 * @param input.sentinel - `classic` closes the curve in (1, 0), which inflates a recall that ends early; `trimmed` drops to 0 there
 * @param input.crowd - whether crowd regions count as ordinary ground truth. @defaultValue "drop"
 * @throws EvalInputError as `evaluate`
 */
export function ultralyticsMetrics({
  groundTruth,
  detections,
  iouType = "bbox",
  sentinel = "classic",
  crowd = "drop",
  maxDetections = 300,
}: {
  groundTruth: CocoDataset;
  detections: readonly CocoResult[];
  iouType?: Exclude<IouType, "keypoints">;
  sentinel?: UltralyticsSentinel;
  crowd?: "drop" | "keep";
  maxDetections?: number;
}): UltralyticsMetrics {
  const annotations =
    crowd === "drop"
      ? groundTruth.annotations.filter((annotation) => annotation.iscrowd !== 1)
      : groundTruth.annotations.map((annotation) => ({ ...annotation, iscrowd: 0 }));
  const source = { ...groundTruth, annotations };
  const cells = imageCells({ groundTruth: source, detections, iouType, floor: THRESHOLDS[0]!, epsilon: IOU_EPSILON });
  const hits = matchAll(cells, maxDetections);
  const classes = classCurves(cells, hits, sentinel);
  const curves = meanCurves(classes);
  const best = argmax(smooth(curves.f1));
  const perClass = classes.map(({ precision, recall, f1, ...row }) => ({
    ...row,
    precision: precision[best]!,
    recall: recall[best]!,
    f1: f1[best]!,
  }));
  const mean = (field: "ap" | "ap50") =>
    perClass.length === 0 ? 0 : perClass.reduce((sum, row) => sum + row[field], 0) / perClass.length;
  const [map50, map] = [mean("ap50"), mean("ap")];
  const coco = evaluate({ groundTruth, detections, iouType }).stats;
  return {
    sentinel,
    crowd,
    maxDetections,
    map50,
    map,
    precision: curves.precision[best]!,
    recall: curves.recall[best]!,
    f1: curves.f1[best]!,
    confidence: best / (CURVE_POINTS - 1),
    fitness: 0.1 * map50 + 0.9 * map,
    perClass,
    curves: { confidence: Float64Array.from({ length: CURVE_POINTS }, (_, i) => i / (CURVE_POINTS - 1)), ...curves },
    cocoDelta: { map50: map50 - coco[1]!, map: map - coco[0]! },
    explanation: `Ultralytics-style values (curve closed ${sentinel === "classic" ? "linearly to recall 1" : "by a drop at the last recall"}, crowd regions ${crowd === "drop" ? "dropped" : "counted as objects"}, at most ${maxDetections} detections an image) differ from COCO's because precision is interpolated linearly between recall points instead of taken from the envelope at or beyond them, because a detection that loses its ground truth is not assigned to another, and because crowds are not ignore regions.`,
  };
}

/** [detection][T]: 1 for a true positive. */
function matchAll(cells: ImageCells, maxDetections: number): Uint8Array {
  const hits = new Uint8Array(cells.detections.count * THRESHOLDS.length);
  for (const cell of cells.cells()) {
    if (cell.detections.length > maxDetections) {
      throw new EvalInputError({
        subject: "detections",
        ids: Array.from(cell.detections.subarray(maxDetections)),
        message: `Image ${cell.imageId} has ${cell.detections.length} detections, at most ${maxDetections} are comparable. Keep the most confident ones after NMS.`,
      });
    }
    THRESHOLDS.forEach((threshold, t) => {
      for (const d of matchImage(cells, cell, threshold)) hits[d * THRESHOLDS.length + t] = 1;
    });
  }
  return hits;
}

/** Detections that are true positives in one image. */
function matchImage({ truths, detections }: ImageCells, cell: ImageCell, threshold: number): number[] {
  const columns = cell.truths.length;
  const owner = new Map<number, number>();
  cell.detections.forEach((d, row) => {
    let best = -1;
    let bestIou = 0;
    for (let column = 0; column < columns; column++) {
      const iou = cell.ious[row * columns + column]!;
      if (iou < threshold || iou <= bestIou) continue;
      if (truths.categoryRank[cell.truths[column]!] !== detections.categoryRank[d]) continue;
      best = column;
      bestIou = iou;
    }
    // Rows come by falling score: the first keeps the ground truth.
    if (best >= 0 && !owner.has(best)) owner.set(best, d);
  });
  return [...owner.values()];
}

interface ClassCurves {
  readonly categoryId: number;
  readonly name: string;
  readonly instances: number;
  readonly ap50: number;
  readonly ap: number;
  /** At the confidences of the curve, IoU 0.5. */
  readonly precision: Float64Array;
  readonly recall: Float64Array;
  readonly f1: Float64Array;
}

function classCurves(cells: ImageCells, hits: Uint8Array, sentinel: UltralyticsSentinel): ClassCurves[] {
  const { truths, detections, categoryIds, categoryNames } = cells;
  const instances = new Int32Array(categoryIds.length);
  for (let g = 0; g < truths.count; g++) instances[truths.categoryRank[g]!]!++;
  const ranked: number[][] = categoryIds.map(() => []);
  const byImage = byFallingScore(imageMajor(cells), detections.score);
  for (const d of byImage) ranked[detections.categoryRank[d]!]!.push(d);
  return categoryIds.flatMap((categoryId, k) => {
    const numTruths = instances[k]!;
    if (numTruths === 0) return [];
    const order = ranked[k]!;
    const curve = (t: number) => precisionRecall(order, hits, t, numTruths);
    const aps = THRESHOLDS.map((_, t) => averagePrecision(curve(t), sentinel));
    const at50 = confidenceCurves(curve(0), order, detections.score);
    const ap = aps.reduce((sum, value) => sum + value, 0) / aps.length;
    return [{ categoryId, name: categoryNames[k]!, instances: numTruths, ap50: aps[0]!, ap, ...at50 }];
  });
}

/** Detections image by image, file order within. */
function imageMajor({ detections }: ImageCells): Int32Array {
  const { imageRank } = detections;
  return identityOrder(detections.count).sort((a, b) => imageRank[a]! - imageRank[b]! || a - b);
}

interface Curve {
  readonly recall: Float64Array;
  readonly precision: Float64Array;
}

function precisionRecall(order: readonly number[], hits: Uint8Array, t: number, numTruths: number): Curve {
  const recall = new Float64Array(order.length);
  const precision = new Float64Array(order.length);
  let found = 0;
  order.forEach((d, i) => {
    found += hits[d * THRESHOLDS.length + t]!;
    recall[i] = found / (numTruths + EPSILON);
    precision[i] = found / (i + 1);
  });
  return { recall, precision };
}

function averagePrecision({ recall, precision }: Curve, sentinel: UltralyticsSentinel): number {
  if (recall.length === 0) return 0;
  const tail =
    sentinel === "classic"
      ? [[1], [0]]
      : [
          [recall.at(-1)!, 1],
          [0, 0],
        ];
  const xs = [0, ...recall, ...tail[0]!];
  const ys = [1, ...precision, ...tail[1]!];
  for (let i = ys.length - 1; i > 0; i--) ys[i - 1] = Math.max(ys[i - 1]!, ys[i]!);
  let area = 0;
  let previous = interpolate(0, xs, ys);
  for (let i = 1; i <= 100; i++) {
    const value = interpolate(i / 100, xs, ys);
    area += ((previous + value) / 2) * (i / 100 - (i - 1) / 100);
    previous = value;
  }
  return area;
}

function confidenceCurves({ recall, precision }: Curve, order: readonly number[], score: Float64Array) {
  const negated = Float64Array.from(order, (d) => -score[d]!);
  const at = (values: Float64Array, left: number) =>
    Float64Array.from({ length: CURVE_POINTS }, (_, i) =>
      // A class without detections has precision and recall 0 everywhere.
      values.length === 0 ? 0 : interpolate(-i / (CURVE_POINTS - 1), negated, values, left),
    );
  const curves = { precision: at(precision, 1), recall: at(recall, 0) };
  const f1 = curves.precision.map((p, i) => (2 * p * curves.recall[i]!) / (p + curves.recall[i]! + EPSILON));
  return { ...curves, f1 };
}

function meanCurves(classes: readonly ClassCurves[]) {
  const mean = (field: "precision" | "recall" | "f1") =>
    Float64Array.from({ length: CURVE_POINTS }, (_, i) =>
      classes.length === 0 ? 0 : classes.reduce((sum, row) => sum + row[field][i]!, 0) / classes.length,
    );
  return { precision: mean("precision"), recall: mean("recall"), f1: mean("f1") };
}

/** Box filter, edges repeated. */
function smooth(values: Float64Array): Float64Array {
  const half = SMOOTHING >> 1;
  return values.map((_, i) => {
    let sum = 0;
    for (let j = i - half; j <= i + half; j++) sum += values[Math.min(values.length - 1, Math.max(0, j))]! / SMOOTHING;
    return sum;
  });
}

function argmax(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
