import type { CocoDataset, EvalResult } from "@seg/coco-dataset";
import type { StudentEvaluation } from "@seg/distill";
import { compareObjects, type JudgedModel } from "../report/measure/compare-objects.js";
import type { ObjectComparison } from "../report/report-data.js";

/** A student that was evaluated. */
export interface JudgedStudent {
  readonly name: string;
  readonly evaluation: StudentEvaluation;
}

const boxes = ({ name, evaluation }: JudgedStudent): JudgedModel => ({
  name,
  result: evaluation.bbox,
  confidence: evaluation.operatingPoint.confidence,
});

const masks = ({ name, evaluation }: JudgedStudent): JudgedModel | null =>
  evaluation.segm === null || evaluation.maskOperatingPoint === null
    ? null
    : { name, result: evaluation.segm, confidence: evaluation.maskOperatingPoint.confidence };

/**
 * What the last student lost: boxes against the text-prompted teacher, masks against the box-prompted one, and against the float student
 * where the last one is quantised.
 */
export function comparisonsOf({
  dataset,
  students,
  detector,
  maskTeacher,
}: {
  dataset: CocoDataset;
  students: readonly JudgedStudent[];
  detector: { readonly name: string; readonly bbox: EvalResult; readonly confidence: number } | null;
  maskTeacher: { readonly name: string; readonly segm: EvalResult } | null;
}): ObjectComparison[] {
  const shipped = students.at(-1);
  if (shipped === undefined) return [];
  const result: ObjectComparison[] = [];
  const compare = (kind: "box" | "mask", reference: JudgedModel | null, candidate: JudgedModel | null) => {
    if (reference !== null && candidate !== null) {
      result.push(compareObjects({ dataset, kind, reference, candidate }));
    }
  };
  if (detector !== null) {
    compare("box", { name: detector.name, result: detector.bbox, confidence: detector.confidence }, boxes(shipped));
  }
  if (maskTeacher !== null) {
    // Prompted with the annotated boxes it answers for every object; its score is an estimate of the IoU, not whether something is there.
    compare("mask", { name: maskTeacher.name, result: maskTeacher.segm, confidence: null }, masks(shipped));
  }
  const float = students[0]!;
  if (float !== shipped) {
    const [from, to] = [masks(float), masks(shipped)];
    if (from !== null && to !== null) compare("mask", from, to);
    else compare("box", boxes(float), boxes(shipped));
  }
  return result;
}
