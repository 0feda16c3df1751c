import type { LabelledDetections } from "./calibrate.js";
import { matchGreedily } from "./calibrate.js";
import { bestClass } from "./detections.js";

/** A detection's logit of its best class, and whether it found an object of that class. */
export interface Observation {
  readonly z: number;
  readonly isRight: boolean;
}

/** Detections and annotations of one class over all annotated images. */
export interface ClassObservations {
  readonly detections: readonly Observation[];
  /** Annotated objects, found or not. */
  readonly truths: number;
}

/** Whether each detection is right, by its best class: what calibration and thresholds are fitted on. */
export function observeDetections({
  images,
  classes,
}: {
  images: Iterable<LabelledDetections>;
  classes: number;
}): ClassObservations[] {
  const result = Array.from({ length: classes }, () => ({ detections: [] as Observation[], truths: 0 }));
  for (const { boxes, logits, truths } of images) {
    const detections = boxes.map((box, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      const classId = bestClass(row);
      return { box, classId, z: row[classId]! };
    });
    for (const { classId } of truths) result[classId]!.truths += 1;
    const matched = matchGreedily({ detections, truths });
    detections.forEach(({ classId, z }, d) => {
      result[classId]!.detections.push({ z, isRight: matched[d] !== -1 });
    });
  }
  return result;
}
