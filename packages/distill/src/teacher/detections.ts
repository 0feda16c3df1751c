import { type Box, boxIou } from "@seg/coco-dataset";
import type { DetectionRecord } from "./teacher-record.js";

/** Candidates whose best class scores less are not kept. */
export const BOX_FLOOR = 0.05;
/** Of two boxes of one class that overlap more, the better one stays. */
export const NMS_IOU = 0.65;
/** Boxes of one image. */
export const MAX_BOXES = 100;

export const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));

/** Keeps logits of probabilities 0 and 1 finite. */
const EDGE = 1e-6;

/** Inverse of {@link sigmoid}, finite also at 0 and 1. */
export function logit(probability: number): number {
  const p = Math.min(Math.max(probability, EDGE), 1 - EDGE);
  return Math.log(p) - Math.log1p(-p);
}

/** The class with the largest logit; the lowest of equals. */
export function bestClass(logits: ArrayLike<number>): number {
  let best = 0;
  for (let c = 1; c < logits.length; c++) if (logits[c]! > logits[best]!) best = c;
  return best;
}

/**
 * Candidates of a detector as they are cached: boxes inside the image whose best class scores at least {@link BOX_FLOOR}, after suppression within a class
 * ({@link NMS_IOU}), the best {@link MAX_BOXES} of them, by descending score.
 */
export function selectDetections({
  boxes,
  logits,
  classes,
  width,
  height,
}: {
  boxes: readonly Box[];
  /** `[boxes, classes]`. */
  logits: Float32Array;
  classes: number;
  width: number;
  height: number;
}): DetectionRecord {
  const clip = (value: number, most: number): number => Math.min(Math.max(value, 0), most);
  const candidates = boxes
    .map(([x1, y1, x2, y2], i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      const classId = bestClass(row);
      const box: Box = [clip(x1, width), clip(y1, height), clip(x2, width), clip(y2, height)];
      return { box, row, classId, score: sigmoid(row[classId]!) };
    })
    .filter(({ box, score }) => score >= BOX_FLOOR && box[2] > box[0] && box[3] > box[1])
    .sort((a, b) => b.score - a.score);
  const kept: typeof candidates = [];
  for (const candidate of candidates) {
    if (kept.length === MAX_BOXES) break;
    const repeats = kept.some(
      ({ classId, box }) => classId === candidate.classId && boxIou(box, candidate.box) > NMS_IOU,
    );
    if (!repeats) kept.push(candidate);
  }
  const rows = new Float32Array(kept.length * classes);
  kept.forEach(({ row }, i) => {
    rows.set(row, i * classes);
  });
  return { kind: "detections", width, height, classes, boxes: kept.map(({ box }) => box), logits: rows };
}
