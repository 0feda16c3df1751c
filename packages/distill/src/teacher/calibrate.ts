import { type Box, boxIou } from "@seg/coco-dataset";
import { bestClass, logit, sigmoid } from "./detections.js";
import { type Observation, observeDetections } from "./observe-detections.js";

/** Matches a class needs for a fit of its own. */
export const MIN_MATCHES = 20;
/** A detection is right when it overlaps an object of its class at least so much. */
export const MATCH_IOU = 0.5;
/** Bins of the calibration error. */
const ECE_BINS = 10;
/** Newton steps; ten reach the last digit on a two-parameter fit. */
const STEPS = 50;
/** A slope beyond these would come from a handful of separable scores. */
const SLOPES = [0.1, 10] as const;

/** p = sigmoid(slope * z + intercept). */
export interface PlattScaling {
  readonly slope: number;
  readonly intercept: number;
}

/** Scaling of one class and what it rests on. */
export interface ClassCalibration extends PlattScaling {
  /** Detections whose best class this is, and those of them that are right. */
  readonly detections: number;
  readonly matches: number;
  /** `class`: fitted on this class; `pooled`: on all classes; `none`: too few of both, logits stay. */
  readonly fittedOn: "class" | "pooled" | "none";
}

/** What {@link calibrate} found. */
export interface Calibration {
  /** By class index. */
  readonly classes: readonly ClassCalibration[];
  /** Expected calibration error before and after; null without a detection on a labelled image. */
  readonly ece: { readonly before: number; readonly after: number } | null;
}

/** Detections of one image with its annotations. */
export interface LabelledDetections {
  readonly boxes: readonly Box[];
  /** `[boxes, classes]`. */
  readonly logits: Float32Array;
  readonly truths: readonly { readonly classId: number; readonly box: Box }[];
}

/**
 * Pairs of equal class and sufficient overlap, taken greedily by overlap; each index occurs once.
 * @returns index of the truth by detection, -1 where there is none
 */
export function matchGreedily({
  detections,
  truths,
  minIou = MATCH_IOU,
}: {
  detections: readonly { readonly classId: number; readonly box: Box }[];
  truths: readonly { readonly classId: number; readonly box: Box }[];
  minIou?: number;
}): Int32Array {
  const pairs: { d: number; t: number; iou: number }[] = [];
  detections.forEach((detection, d) => {
    truths.forEach((truth, t) => {
      if (detection.classId !== truth.classId) return;
      const iou = boxIou(detection.box, truth.box);
      if (iou >= minIou) pairs.push({ d, t, iou });
    });
  });
  pairs.sort((a, b) => b.iou - a.iou || a.d - b.d || a.t - b.t);
  const matched = new Int32Array(detections.length).fill(-1);
  const taken = new Set<number>();
  for (const { d, t } of pairs) {
    if (matched[d] !== -1 || taken.has(t)) continue;
    matched[d] = t;
    taken.add(t);
  }
  return matched;
}

/**
 * Platt scaling (Platt, "Probabilistic outputs for support vector machines", 1999): slope and intercept that minimise the cross-entropy with the targets
 * (N+ + 1) / (N+ + 2) and 1 / (N- + 2), which keep separable scores finite. Newton with halved steps.
 */
export function fitPlatt(observations: readonly Observation[]): PlattScaling {
  const right = observations.filter(({ isRight }) => isRight).length;
  const wrong = observations.length - right;
  const high = (right + 1) / (right + 2);
  const low = 1 / (wrong + 2);
  const lossOf = (a: number, b: number) =>
    observations.reduce((sum, { z, isRight }) => {
      const x = a * z + b;
      return sum + Math.max(x, 0) - x * (isRight ? high : low) + Math.log1p(Math.exp(-Math.abs(x)));
    }, 0);
  let [slope, intercept] = [1, 0];
  let loss = lossOf(slope, intercept);
  for (let step = 0; step < STEPS; step++) {
    let [ga, gb, haa, hab, hbb] = [0, 0, 1e-9, 0, 1e-9];
    for (const { z, isRight } of observations) {
      const p = sigmoid(slope * z + intercept);
      const difference = p - (isRight ? high : low);
      const w = p * (1 - p);
      ga += difference * z;
      gb += difference;
      haa += w * z * z;
      hab += w * z;
      hbb += w;
    }
    const determinant = haa * hbb - hab * hab;
    if (!(determinant > 1e-12)) break;
    const da = (hbb * ga - hab * gb) / determinant;
    const db = (haa * gb - hab * ga) / determinant;
    let size = 1;
    let next = lossOf(slope - da, intercept - db);
    while (next > loss && size > 1e-4) {
      size /= 2;
      next = lossOf(slope - size * da, intercept - size * db);
    }
    if (!(next < loss)) break;
    slope -= size * da;
    intercept -= size * db;
    if (loss - next < 1e-12 * Math.max(1, loss)) break;
    loss = next;
  }
  return { slope: Math.min(Math.max(slope, SLOPES[0]), SLOPES[1]), intercept };
}

/** Mean |share of right ones - mean score| over ten bins of equal width, weighted by their sizes. */
function calibrationError(observations: readonly { p: number; isRight: boolean }[]): number {
  const bins = Array.from({ length: ECE_BINS }, () => ({ count: 0, right: 0, sum: 0 }));
  for (const { p, isRight } of observations) {
    const bin = bins[Math.min(ECE_BINS - 1, Math.floor(p * ECE_BINS))]!;
    bin.count += 1;
    bin.right += isRight ? 1 : 0;
    bin.sum += p;
  }
  return bins.reduce((total, { right, sum }) => total + Math.abs(right - sum), 0) / Math.max(1, observations.length);
}

/**
 * Calibrated logits of boxes. The fit says how often the best class of a box is right, so it moves that class alone: p = sigmoid(slope z + intercept). The others keep their ratio r <= 1 to it in what the
 * detector said, as a share of p, and of the doubt 1 - p where p is above a half: min(p, 1 - p) r. Moved by their own fits, classes that the detector denied would rise with the best one. Boxes whose
 * best class has no fit stay as they are.
 *
 * @param logits - `[boxes, classes]`; -Infinity, a class that was not asked about, stays
 */
export function applyCalibration(logits: Float32Array, { classes }: Calibration): Float32Array {
  const count = classes.length;
  const result = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += count) {
    const row = logits.subarray(start, start + count);
    const best = bestClass(row);
    const { slope, intercept, fittedOn } = classes[best]!;
    if (fittedOn === "none") {
      result.set(row, start);
      continue;
    }
    const z = slope * row[best]! + intercept;
    const p = sigmoid(z);
    const most = sigmoid(row[best]!);
    row.forEach((other, c) => {
      if (c === best || other === Number.NEGATIVE_INFINITY) result[start + c] = c === best ? z : other;
      else result[start + c] = logit((Math.min(p, 1 - p) * sigmoid(other)) / most);
    });
  }
  return result;
}

/**
 * Fits how sure a detector should be: per class on annotated images, where a detection counts as right when it overlaps an object of its class (IoU >= .5, each
 * object once). Detectors of words score right answers at .2 to .6; as soft targets that would teach the student doubt.
 *
 * @param images - annotated images only
 * @returns per class its own fit with at least {@link MIN_MATCHES} right detections, else the fit over all classes, else the identity
 */
export function calibrate({ images, classes }: { images: Iterable<LabelledDetections>; classes: number }): Calibration {
  const byClass = observeDetections({ images, classes }).map(({ detections }) => detections);
  const all = byClass.flat();
  const matchesOf = (list: readonly Observation[]) => list.filter(({ isRight }) => isRight).length;
  const pooled = matchesOf(all) >= MIN_MATCHES ? fitPlatt(all) : null;
  const result = byClass.map((list): ClassCalibration => {
    const counts = { detections: list.length, matches: matchesOf(list) };
    if (counts.matches >= MIN_MATCHES) return { ...fitPlatt(list), ...counts, fittedOn: "class" };
    if (pooled !== null) return { ...pooled, ...counts, fittedOn: "pooled" };
    return { slope: 1, intercept: 0, ...counts, fittedOn: "none" };
  });
  if (all.length === 0) return { classes: result, ece: null };
  const before = calibrationError(all.map(({ z, isRight }) => ({ p: sigmoid(z), isRight })));
  const after = calibrationError(
    byClass.flatMap((list, c) => {
      const { slope, intercept } = result[c]!;
      return list.map(({ z, isRight }) => ({ p: sigmoid(slope * z + intercept), isRight }));
    }),
  );
  return { classes: result, ece: { before, after } };
}
