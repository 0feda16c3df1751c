import { formatCount, formatPercent, formatScore, formatSpeed, known, knownScore } from "@seg/train/charts";
import { type DetectionCounts, detectionCounts, shareInterval } from "./detection-counts.js";
import type { Confusion, MaskBaselines, MeasuredOn, ModelRow, ReportData } from "./report-data.js";
import { splitName } from "./split-name.js";

/** The result in words, computed from the measured values alone. */
export interface Verdict {
  readonly headline: string;
  readonly details: readonly string[];
}

/** New over old, or null where either was not measured or old is 0. */
export function ratio(value: number | null | undefined, reference: number | null | undefined): number | null {
  const [a, b] = [known(value), known(reference)];
  return a === null || b === null || b === 0 ? null : a / b;
}

/** The fp32 student that INT8 is compared with. */
export const fp32Of = (models: readonly ModelRow[]): ModelRow | null =>
  models.find(({ kind }) => kind === "student-fp32") ?? null;

/** Whether a model was told something beside the image. */
export const isPrompted = ({ prompts }: ModelRow): boolean => !/^\s*(none)?\s*$/i.test(prompts);

/** Trivial baselines that stand beside a mask IoU, and where they come from. */
export function baselinesFor(
  row: ModelRow,
  { models, teacher }: Pick<ReportData, "models" | "teacher">,
): { baselines: MaskBaselines; isSameSplit: boolean } | null {
  const own = row.maskBaselines ?? models.find(({ maskBaselines }) => maskBaselines)?.maskBaselines;
  if (own) return { baselines: own, isSameSplit: true };
  return teacher === null ? null : { baselines: teacher.after.baselines, isSameSplit: false };
}

/**
 * Headline and further sentences, the first ones for readers who know nothing of average precision: how many objects are found, missed and
 * made up, on which images, and for which class it is worst. A part whose values are missing is left out; where nothing was measured the
 * headline says so.
 */
export function verdict(data: ReportData): Verdict {
  const fp32 = fp32Of(data.models);
  const int8 = data.models.find(({ kind }) => kind === "student-int8") ?? null;
  const teacher = data.models.find(({ kind }) => kind === "teacher") ?? null;
  const counts = data.confusion ? detectionCounts(data.confusion) : null;
  const quantisation = int8 !== null && fp32 !== null ? quantisationSentence(int8, fp32) : null;
  const headline =
    (counts === null ? null : countsSentence(counts.all, data)) ??
    quantisation ??
    studentSentence(int8 ?? fp32) ??
    teacherSentence(data.teacher) ??
    "Nothing was measured yet.";
  const details = [
    seenSentence(data.measuredOn),
    ...(counts === null || data.confusion == null
      ? []
      : [remainderSentence(counts.all, data.confusion), weakestSentence(counts.perClass)]),
    quantisation,
    int8 === null ? null : accuracySentence(int8, fp32),
    teacherComparison(fp32 ?? int8, teacher),
    detectorSentence(data.detector ?? null, data.measuredOn),
    teacherSentence(data.teacher),
    certificateSentence(data.certificate),
    timingSentence(data),
    dataSentence(data.dataset.findings),
  ].filter((sentence): sentence is string => sentence !== null && sentence !== headline);
  return { headline, details };
}

/** "The model to ship (student INT8) finds 600 of 733 objects (82 %) in 54 test images, and reports 187 where none is annotated." */
function countsSentence(
  { objects, found, unannotated }: DetectionCounts,
  { confusion, measuredOn }: ReportData,
): string | null {
  if (objects === 0) return null;
  return `The model to ship (${confusion!.model}) finds ${formatCount(found)} of ${formatCount(objects)} objects (${formatPercent(found / objects)}) in ${splitName(measuredOn)}, and reports ${formatCount(unannotated)} where none is annotated.`;
}

/** Whether the images were new to the student. */
function seenSentence(on: MeasuredOn | undefined): string | null {
  if (on === undefined) return null;
  const { images, trainedOn, chosenOn } = on;
  if (trainedOn === null)
    return "Whether the student was trained on some of these images is not known: its training split was not found.";
  if (trainedOn > 0)
    return `Warning: the student was trained on ${formatCount(trainedOn)} of these ${formatCount(images)} images, so that every figure is too good. Measure on images it has not seen.`;
  if (chosenOn === null)
    return "The student was trained on none of these images; whether they chose its weights is not known.";
  return chosenOn > 0
    ? `The student was trained on none of these images, but ${formatCount(chosenOn)} of them chose its weights among the epochs: figures are a little too good.`
    : "The student was trained on none of these images, and none of them chose its weights.";
}

function remainderSentence({ missed, mistaken }: DetectionCounts, { confidence, iou }: Confusion): string {
  return `Missed: ${formatCount(missed)}; taken for another class: ${formatCount(mistaken)}. This is at confidence ${confidence.toFixed(2)}, where F1 is best on these images, with an overlap (IoU) of at least ${iou}; a lower confidence finds more and makes up more.`;
}

/** The class of which the smallest share is found, and how far chance reaches. */
function weakestSentence(perClass: ReturnType<typeof detectionCounts>["perClass"]): string | null {
  if (perClass.length === 0) return null;
  const { name, found, objects } = perClass.reduce((a, b) => (b.found / b.objects < a.found / a.objects ? b : a));
  const [low, high] = shareInterval(found, objects);
  return `${perClass.length === 1 ? "The only class" : "Weakest class"}: ${name}, ${formatCount(found)} of ${formatCount(objects)} found (${formatPercent(found / objects)}; 95 % interval for so many objects ${formatPercent(low)} to ${formatPercent(high)}).`;
}

function timingSentence({ models, environment }: ReportData): string | null {
  const { processor, "threads (timing)": threads } = environment;
  if (processor === undefined || models.every(({ latencyMs }) => known(latencyMs?.p50) === null)) return null;
  return `Times are those of ${processor}${threads === undefined ? "" : `, ${threads} ${threads === "1" ? "thread" : "threads"}`}; another device has its own.`;
}

/** "Student INT8 keeps 98 % of fp32 box mAP50 and 97 % of mask mAP50 at 27 % of the size, 2.1x faster." */
function quantisationSentence(int8: ModelRow, fp32: ModelRow): string | null {
  const box = ratio(knownScore(int8.box?.map50), knownScore(fp32.box?.map50));
  const mask = ratio(knownScore(int8.mask?.map50), knownScore(fp32.mask?.map50));
  const kept = [
    box === null ? null : `${formatPercent(box)} of fp32 box mAP50`,
    mask === null ? null : `${formatPercent(mask)} of ${box === null ? "fp32 " : ""}mask mAP50`,
  ].filter((part) => part !== null);
  const size = ratio(int8.sizeBytes, fp32.sizeBytes);
  const speed = ratio(fp32.latencyMs?.p50, int8.latencyMs?.p50);
  if (kept.length === 0) return null;
  const cost = [
    size === null ? null : ` at ${formatPercent(size)} of the size`,
    speed === null ? null : `, ${formatSpeed(speed)}`,
  ];
  return `Student INT8 keeps ${kept.join(" and ")}${cost.filter((part) => part !== null).join("")}.`;
}

function studentSentence(student: ModelRow | null): string | null {
  if (student === null) return null;
  const scores = [
    knownScore(student.box?.map50) === null ? null : `box mAP50 ${formatScore(student.box?.map50)}`,
    knownScore(student.mask?.map50) === null ? null : `mask mAP50 ${formatScore(student.mask?.map50)}`,
  ].filter((part) => part !== null);
  const name = student.kind === "student-int8" ? "Student INT8" : "Student fp32";
  return scores.length === 0 ? null : `${name} reaches ${scores.join(" and ")}.`;
}

/** The absolute numbers behind the percentages: 98 % of nothing is nothing. */
function accuracySentence(int8: ModelRow, fp32: ModelRow | null): string | null {
  const part = (name: string, value: number | undefined, reference: number | undefined) => {
    if (knownScore(value) === null) return null;
    return knownScore(reference) === null
      ? `${name} ${formatScore(value)}`
      : `${name} ${formatScore(value)} against ${formatScore(reference)}`;
  };
  const parts = [
    part("box mAP50", int8.box?.map50, fp32?.box?.map50),
    part("mask mAP50", int8.mask?.map50, fp32?.mask?.map50),
    part("mask IoU", int8.maskIou ?? undefined, fp32?.maskIou ?? undefined),
  ].filter((text) => text !== null);
  return parts.length === 0 ? null : `INT8 in numbers: ${parts.join(", ")}${fp32 === null ? "" : " (fp32)"}.`;
}

function teacherComparison(student: ModelRow | null, teacher: ModelRow | null): string | null {
  if (student === null || teacher === null) return null;
  const pairs = [
    { name: "mask mAP50", share: ratio(knownScore(student.mask?.map50), knownScore(teacher.mask?.map50)) },
    { name: "box mAP50", share: ratio(knownScore(student.box?.map50), knownScore(teacher.box?.map50)) },
    { name: "mask IoU", share: ratio(knownScore(student.maskIou), knownScore(teacher.maskIou)) },
  ];
  const pair = pairs.find(({ share }) => share !== null);
  if (pair === undefined) return null;
  const name = student.kind === "student-int8" ? "Student INT8" : "Student fp32";
  const handicap =
    isPrompted(teacher) && !isPrompted(student)
      ? `; the teacher was given ${teacher.prompts}, the student the image alone`
      : "";
  return `${name} reaches ${formatPercent(pair.share)} of the teacher's ${pair.name}${handicap}.`;
}

/** Whether the adapted teacher beats what its prompts alone are worth. */
function teacherSentence(teacher: ReportData["teacher"]): string | null {
  if (teacher === null) return null;
  const { before, after } = teacher;
  const best = Math.max(after.baselines.filledBox, after.baselines.ellipse);
  const comparison =
    after.meanIou > best
      ? "above both trivial baselines"
      : after.meanIou > Math.min(after.baselines.filledBox, after.baselines.ellipse)
        ? "above only the weaker of the two trivial baselines"
        : "above neither trivial baseline";
  return `On the validation split the mask teacher has mask IoU ${formatScore(before.meanIou)} before and ${formatScore(after.meanIou)} after adapting ${formatPercent(teacher.trainableShare)} of its weights, ${comparison} (filled box ${formatScore(after.baselines.filledBox)}, ellipse ${formatScore(after.baselines.ellipse)}).`;
}

function detectorSentence(
  detector: NonNullable<ReportData["detector"]> | null,
  on: MeasuredOn | undefined,
): string | null {
  if (detector === null) return null;
  const { before, after, trainableShare } = detector;
  return `In ${splitName(on)} the text-prompted teacher has box mAP50 ${formatScore(before.map50)} before and ${formatScore(after.map50)} after adapting ${formatPercent(trainableShare)} of its weights.`;
}

function certificateSentence(certificate: ReportData["certificate"]): string | null {
  if (certificate === null) return null;
  const passed = certificate.checks.filter((check) => check.passed).length;
  const count = `${passed} of ${certificate.checks.length} checks passed`;
  return isCertified(certificate)
    ? `The exported model takes the image and nothing else: ${count}.`
    : `The exported model is NOT certified prompt-free: ${count}.`;
}

/** A certificate holds only when it says so, something was checked, and each check passed. */
export function isCertified(certificate: ReportData["certificate"]): boolean {
  if (certificate === null || certificate.checks.length === 0) return false;
  return certificate.promptFree && certificate.checks.every((check) => check.passed);
}

function dataSentence(findings: ReportData["dataset"]["findings"]): string | null {
  const errors = findings.filter(({ severity }) => severity === "error").reduce((sum, { count }) => sum + count, 0);
  return errors === 0 ? null : `The dataset has ${errors} ${errors === 1 ? "error" : "errors"} left; see Dataset.`;
}
