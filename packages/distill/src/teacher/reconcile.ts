import { type Box, boxIou } from "@seg/coco-dataset";
import { MATCH_IOU, matchGreedily } from "./calibrate.js";
import { bestClass, sigmoid } from "./detections.js";

/** An unmatched detection of at least this score becomes a label where labels may be missing. */
export const PSEUDO_SCORE = 0.6;
/** The same where no annotation calibrates the scores: detectors that are asked with words score right answers at .2 to .6. */
export const RAW_PSEUDO_SCORE = 0.35;
/** Below this an unmatched detection is forgotten; between the two scores its place is neither object nor background. */
export const IGNORE_SCORE = 0.1;

/** A detection with calibrated logits. */
export interface TeacherDetection {
  readonly box: Box;
  /** `[classes]`, calibrated. */
  readonly logits: Float32Array;
  readonly classId: number;
  /** Of that class, 0..1. */
  readonly score: number;
}

/** What becomes of the detections of one image. */
export interface Reconciled {
  /** Detection by index of the truth it confirms. */
  readonly matched: ReadonlyMap<number, TeacherDetection>;
  /** New labels, weighted by their score. */
  readonly pseudo: readonly TeacherDetection[];
  /** Places without a negative class loss. */
  readonly ignored: readonly TeacherDetection[];
}

/** The rows of a record as detections, by descending calibrated score. */
export function detectionsOf(boxes: readonly Box[], logits: Float32Array, classes: number): TeacherDetection[] {
  return boxes
    .map((box, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      const classId = bestClass(row);
      return { box, logits: row, classId, score: sigmoid(row[classId]!) };
    })
    .sort((a, b) => b.score - a.score);
}

/**
 * Detections against annotations, which always win. Same class, IoU >= .5 (greedily by IoU): the detection softens the label. The same place as an annotation but
 * another class, or a second box: dropped. Elsewhere, where annotations may be missing (`isOpen`): a label from {@link PSEUDO_SCORE} on, a region without negative
 * class loss from {@link IGNORE_SCORE} on. Where annotations are complete nothing of it: the annotations say that nothing is there.
 *
 * @param detections - by descending score
 * @param isOpen - the image is unlabelled, or its data set is declared incomplete
 */
export function reconcile({
  detections,
  truths,
  isOpen,
  pseudoScore = PSEUDO_SCORE,
  ignoreScore = IGNORE_SCORE,
}: {
  detections: readonly TeacherDetection[];
  truths: readonly { readonly classId: number; readonly box: Box }[];
  isOpen: boolean;
  /** Lowest score of a new label, one number or one per class. */
  pseudoScore?: number | readonly number[];
  ignoreScore?: number;
}): Reconciled {
  const partner = matchGreedily({ detections, truths });
  const matched = new Map<number, TeacherDetection>();
  const pseudo: TeacherDetection[] = [];
  const ignored: TeacherDetection[] = [];
  const overlaps = (box: Box) => (other: { readonly box: Box }) => boxIou(box, other.box) >= MATCH_IOU;
  detections.forEach((detection, d) => {
    const { box, score, classId } = detection;
    if (partner[d]! >= 0) {
      matched.set(partner[d]!, detection);
      return;
    }
    if (!isOpen || score < ignoreScore || truths.some(overlaps(box))) return;
    const least = typeof pseudoScore === "number" ? pseudoScore : pseudoScore[classId]!;
    // Two names for one place: the better one stays.
    if (score < least) ignored.push(detection);
    else if (!pseudo.some(overlaps(box))) pseudo.push(detection);
  });
  return { matched, pseudo, ignored: ignored.filter(({ box }) => !pseudo.some(overlaps(box))) };
}
