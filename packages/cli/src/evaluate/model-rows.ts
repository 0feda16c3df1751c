import { type EvalResult, evaluate as evaluateCoco } from "@seg/coco-dataset";
import { operatingPoint, type StudentEvaluation } from "@seg/distill";
import type { Accuracy, BenchmarkReport } from "@seg/export";
import type { DetectorEvaluation, SamEvaluation } from "@seg/teachers";
import { sizeScores } from "../report/measure/size-scores.js";
import type { BoxScore, MaskBaselines, MaskScore, ModelRow } from "../report/report-data.js";
import type { DetectorOnSplit } from "../teacher/evaluate-detector.js";
import type { MaskTeacherOnSplit } from "./mask-teacher-on-split.js";

const finite = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) || value < 0 ? null : value;

/** Mask quality as the report shows it. */
export const maskScore = (evaluation: SamEvaluation, names: readonly string[]): MaskScore => ({
  meanIou: evaluation.meanIou,
  baselines: evaluation.baselines,
  perClass: evaluation.perClass.map(({ classId, meanIou, filledBox, ellipse, count }) => ({
    name: names[classId] ?? String(classId),
    iou: meanIou,
    filledBox,
    ellipse,
    count,
  })),
});

/** Box quality as the report shows it. */
export function boxScore({ mAP50, mAP, perClass }: DetectorEvaluation, names: readonly string[]): BoxScore {
  return {
    map50: mAP50,
    map: mAP,
    perClass: perClass.map(({ classId, ap50, ap, instances }) => ({
      name: names[classId] ?? `class ${classId}`,
      ap50,
      ap,
      count: instances,
    })),
  };
}

/** Quality by class, from whichever evaluations there are. */
function perClass(bbox: EvalResult | null, segm: EvalResult | null): NonNullable<ModelRow["perClass"]> {
  const masks = new Map(segm?.perClass.map((c) => [c.categoryId, c]) ?? []);
  const boxes = new Map(bbox?.perClass.map((c) => [c.categoryId, c]) ?? []);
  return (bbox ?? segm)!.perClass.map(({ categoryId, name }) => ({
    name,
    boxAp50: finite(boxes.get(categoryId)?.ap50),
    boxAp: finite(boxes.get(categoryId)?.ap),
    maskAp50: finite(masks.get(categoryId)?.ap50),
    maskAp: finite(masks.get(categoryId)?.ap),
  }));
}

/** Row of a student that was evaluated and timed. */
export function studentRow({
  name,
  kind,
  evaluation,
  bench,
  baselines,
}: {
  name: string;
  kind: "student-fp32" | "student-int8";
  evaluation: StudentEvaluation;
  bench: BenchmarkReport["rows"][number] | null;
  baselines: MaskBaselines | null;
}): ModelRow {
  const { metrics: m, bbox, segm, operatingPoint: operating } = evaluation;
  return {
    name,
    kind,
    prompts: "none",
    box: { map50: m["mAP50"]!, map: m["mAP50-95"]! },
    mask: m["mask_mAP50"] === undefined ? null : { map50: m["mask_mAP50"], map: m["mask_mAP50-95"]! },
    maskIou: finite(m["mask_IoU"]),
    maskBaselines: baselines,
    sizeBytes: bench?.bytes ?? null,
    latencyMs: bench === null ? null : { p50: bench.medianMs, p95: bench.p95Ms },
    fps: bench?.fps ?? null,
    peakMemoryBytes: bench?.peakRssBytes ?? null,
    perClass: perClass(bbox, segm),
    perSize: sizeScores({ bbox, segm }),
    operating,
    ...(bench === null ? {} : { verdict: bench.verdict }),
  };
}

/** Row of the adapted SAM. */
export function maskTeacherRow(teacher: MaskTeacherOnSplit, baselines: MaskBaselines | null): ModelRow {
  const { name, segm, scores, sizeBytes, latencyMs } = teacher;
  // -1 means that the split has no object to judge.
  const stat = (key: string) => segm.stats[segm.names.indexOf(key)] ?? -1;
  return {
    name,
    kind: "teacher",
    prompts: "annotated boxes and classes",
    box: null,
    mask: { map50: stat("AP50"), map: stat("AP") },
    maskBaselines: baselines,
    maskIou: scores.meanIou,
    sizeBytes,
    latencyMs,
    fps: 1000 / latencyMs.p50,
    peakMemoryBytes: null,
    perClass: perClass(null, segm),
    perSize: sizeScores({ bbox: null, segm }),
  };
}

/** The detections of the text-prompted teacher judged like a student's, with as many as its own evaluation keeps. */
export const judgeDetector = (
  { detections }: DetectorOnSplit,
  groundTruth: Parameters<typeof evaluateCoco>[0]["groundTruth"],
): EvalResult =>
  evaluateCoco({
    groundTruth,
    detections,
    iouType: "bbox",
    params: { maxDetections: [1, 10, 300] },
    matches: true,
  });

/** Row of the adapted text-prompted detector. */
export function detectorRow(detector: DetectorOnSplit, bbox: EvalResult): ModelRow {
  return {
    name: `${detector.base} + LoRA`,
    kind: "teacher",
    prompts: "class names",
    box: { map50: detector.after.mAP50, map: detector.after.mAP },
    mask: null,
    maskIou: null,
    sizeBytes: detector.sizeBytes,
    latencyMs: null,
    fps: null,
    peakMemoryBytes: null,
    perClass: perClass(bbox, null),
    perSize: sizeScores({ bbox, segm: null }),
    operating: operatingPoint(bbox),
  };
}

/** Masks where the student has them, else boxes: what a teacher of the same task is compared by. */
export function accuracyOf({ metrics }: StudentEvaluation): Accuracy {
  return metrics["mask_mAP50"] === undefined
    ? { map50: metrics["mAP50"]!, map: metrics["mAP50-95"]! }
    : { map50: metrics["mask_mAP50"], map: metrics["mask_mAP50-95"]! };
}

/** Largest loss of mAP50-95 that an artefact may have against fp32. */
const ACCURACY_GATE = 0.03;

/** A fast artefact that lost too much is not called optimised. */
export function rejectInaccurate(row: ModelRow, reference: ModelRow): void {
  const lost = Math.max(
    (reference.box?.map ?? 0) - (row.box?.map ?? 0),
    (reference.mask?.map ?? 0) - (row.mask?.map ?? 0),
  );
  if (lost > ACCURACY_GATE) row.verdict = `rejected: loses ${lost.toFixed(3)} mAP50-95, gate ${ACCURACY_GATE}`;
}
