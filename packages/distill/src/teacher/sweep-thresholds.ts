import { type Calibration, type LabelledDetections, MIN_MATCHES } from "./calibrate.js";
import { sigmoid } from "./detections.js";
import { type ClassObservations, type Observation, observeDetections } from "./observe-detections.js";

/** The score from which detections of a class are worth being labels. */
export interface SweptThreshold {
  /** Calibrated, 0..1. */
  readonly score: number;
  /** Of the detections from that score on, against the annotations. */
  readonly f1: number;
  /** `class`: swept on this class; `pooled`: on all classes; `none`: too few of both, the default stays. */
  readonly sweptOn: "class" | "pooled" | "none";
}

/** Detections with calibrated scores, and how many objects there are to find. */
interface Scored {
  readonly detections: readonly { readonly p: number; readonly isRight: boolean }[];
  readonly truths: number;
}

/** The cut with the largest F1 = 2 TP / (detections + objects), half-way to the next lower score; of equal ones the higher score, which trusts the teacher less. */
function bestCut({ detections, truths }: Scored): { score: number; f1: number } {
  const sorted = [...detections].sort((a, b) => b.p - a.p);
  let [right, best, score] = [0, -1, 1];
  sorted.forEach(({ p, isRight }, i) => {
    right += isRight ? 1 : 0;
    const next = sorted[i + 1]?.p ?? 0;
    // A cut cannot part equal scores.
    if (next === p) return;
    const f1 = (2 * right) / (i + 1 + truths);
    if (f1 > best) [best, score] = [f1, (p + next) / 2];
  });
  return { score, f1: Math.max(best, 0) };
}

/**
 * `thresholds: sweep` of the specification: per class the calibrated score whose detections agree best (F1) with the annotations.
 *
 * @param images - annotated images only
 * @param fallback - score where neither the class nor all classes together have {@link MIN_MATCHES} right detections
 */
export function sweepThresholds({
  images,
  calibration,
  fallback,
}: {
  images: Iterable<LabelledDetections>;
  calibration: Calibration;
  fallback: number;
}): SweptThreshold[] {
  const observed = observeDetections({ images, classes: calibration.classes.length });
  const scored = observed.map(({ detections, truths }, c): Scored => {
    const { slope, intercept } = calibration.classes[c]!;
    const p = ({ z }: Observation) => sigmoid(slope * z + intercept);
    return { truths, detections: detections.map((each) => ({ p: p(each), isRight: each.isRight })) };
  });
  const matchesOf = (list: readonly { isRight: boolean }[]) => list.filter(({ isRight }) => isRight).length;
  const all: Scored = {
    detections: scored.flatMap(({ detections }) => detections),
    truths: observed.reduce((sum, { truths }: ClassObservations) => sum + truths, 0),
  };
  const pooled = matchesOf(all.detections) >= MIN_MATCHES ? bestCut(all) : null;
  return scored.map((own): SweptThreshold => {
    if (matchesOf(own.detections) >= MIN_MATCHES) return { ...bestCut(own), sweptOn: "class" };
    if (pooled !== null) return { ...pooled, sweptOn: "pooled" };
    return { score: fallback, f1: 0, sweptOn: "none" };
  });
}
